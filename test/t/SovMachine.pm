# SovMachine - a machine in small for documents: their blocks of configuration, SQL and
# shell run with the directories of a real machine replaced by scratch ones.
package SovMachine;

use strict;
use warnings;
use Exporter 'import';
use SovTest;

our @EXPORT = qw(blocks);

# Directories, and a server that is not started yet; folders: those of the providers.
sub new
{
	my ($class, @folders) = @_;
	my $t = SovTest->new;
	my $d = $t->dir;
	my $self = bless { t => $t, dir => $d, conf => "$d/etc/pg_sovereign/pg_sovereign.conf", data => "$d/var/lib/postgresql/15/main" }, $class;
	run_as('mkdir', '-p', map { "$d/$_" } qw(etc/pg_sovereign var/lib/pg_sovereign var/lib/postgresql/15), map { s{^/}{}r } @folders);
	run_as("$t->{bindir}/initdb", '-D', $self->{data}, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C.UTF-8', '--data-checksums', '--no-sync');
	$self->settings("port = $t->{port}\nlisten_addresses = ''\nunix_socket_directories = '$d'\nsovereign.config_file = '$self->{conf}'\n");
	return $self;
}

# Lines for postgresql.conf
sub settings
{
	my ($self, @lines) = @_;
	open(my $fh, '>>', "$self->{data}/postgresql.conf") or die;
	print $fh @lines;
	close $fh;
}

# The text with the places of this machine
sub here
{
	my ($self, $text) = @_;
	$text =~ s{host=/var/run/postgresql}{host=$self->{dir} port=$self->{t}{port} user=postgres};
	$text =~ s{(?<![\w./])(file:)?/(etc/pg_sovereign|var/lib|srv|mnt|media)\b}{($1 // '') . "$self->{dir}/$2"}ge;
	return $text;
}

# The command that runs a script
sub shell_command
{
	my ($self, $script) = @_;
	my $t = $self->{t};
	return as('env', "PATH=$t->{bindir}:$ENV{PATH}", "PGHOST=$self->{dir}", "PGPORT=$t->{port}", 'PGUSER=postgres',
		'PGDATABASE=postgres', "PG_SOVEREIGN_CONFIG=$self->{conf}", 'bash', '-euc', "cd $self->{dir}; $script");
}

# (exit status, output, errors) of a script
sub shell
{
	my ($self, $script) = @_;
	return capture($self->shell_command($script));
}

# The configuration, readable by the server's user
sub configure
{
	my ($self, $text) = @_;
	spit($self->{conf}, $text);
	chmod 0644, $self->{conf};
}

# Run SQL as a document has it: (exit status, output, errors)
sub sql
{
	my ($self, $text) = @_;
	spit("$self->{dir}/block.sql", "\\set ON_ERROR_STOP on\n$text");
	chmod 0644, "$self->{dir}/block.sql";
	return $self->shell('psql -X -q -At -f block.sql');
}

# [kind, text, heading] of each block of a page
sub blocks
{
	my ($page) = @_;
	my ($heading, @blocks) = ('');
	while ($page =~ /^## ([^\n]*)$|^```(\w*)\n(.*?)^```$/msg)
	{
		if (defined $1) { $heading = $1; }
		else { push @blocks, [ $2, $3, $heading ]; }
	}
	return @blocks;
}

1;
