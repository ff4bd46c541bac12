# SovTest - a scratch area with folder providers, a configuration, and clusters.
#
# Everything lies in one temporary directory that is removed at the end.  When
# run as root, servers and the command run as the user postgres.  The extension
# and the command are the installed ones, of the server that PG_CONFIG chooses.
# KEEP=1 keeps the directory.  SOV_BUILD=DIR takes the command and the library of
# a checkout that is built but not installed (no CREATE EXTENSION then).
package SovTest;

use strict;
use warnings;
use Exporter 'import';
use File::Compare qw(compare);
use File::Temp qw(tempdir);
use IO::Socket::INET;
use POSIX ();
use Test::More ();
use Time::HiRes qw(sleep time);

our @EXPORT = qw(as run_as background capture spit slurp flip_byte objects);

my $build = $ENV{SOV_BUILD};
my $bindir = $ENV{SOV_BINDIR} || do { my $c = $ENV{PG_CONFIG} || 'pg_config'; my $b = `$c --bindir`; chomp $b; $b };

# Why no test with a server can run here; undef when it can.
sub unable
{
	return "there is no server in \"$bindir\"" unless -x "$bindir/postgres";
	return 'the command is not installed (make install)' unless -x command();
	return 'root needs the system user postgres' if $> == 0 && !defined getpwnam('postgres');
	return undef;
}

# The program pg_sovereign.
sub command { return $build ? "$build/build/pg_sovereign" : "$bindir/pg_sovereign"; }

# The command line that runs as the server's user.
sub as { return $> == 0 ? ('runuser', '-u', 'postgres', '--', @_) : @_; }

# Run and return (exit code or "signal N", standard output, standard error).
sub capture
{
	my @cmd = @_;
	my $base = File::Temp->new(TEMPLATE => '/tmp/sovcapXXXXXX');
	my ($out, $err) = ("$base.out", "$base.err");
	my $pid = fork();
	if ($pid == 0)
	{
		open(STDIN, '<', '/dev/null');
		open(STDOUT, '>', $out);
		open(STDERR, '>', $err);
		exec(@cmd) or POSIX::_exit(99);
	}
	waitpid($pid, 0);
	my $status = $? & 127 ? 'signal ' . ($? & 127) : $? >> 8;
	my @texts = (slurp($out), slurp($err));
	unlink $out, $err;
	$texts[1] =~ s/^could not change directory to .*\n//mg;	# the user may not read the checkout
	return ($status, @texts);
}

sub run_as
{
	my ($status, $out, $err) = capture(as(@_));
	die "@_ failed ($status): $out$err" if $status ne '0';
	return $out;
}

sub slurp { my ($f) = @_; open(my $fh, '<:raw', $f) or return ''; local $/; my $t = <$fh>; return $t // ''; }
sub spit { my ($f, $t) = @_; open(my $fh, '>:raw', $f) or die "$f: $!"; print $fh $t; close $fh; }

# Change one byte, at an offset or (below 1) at that part of the file.
sub flip_byte
{
	my ($file, $where) = @_;
	my $text = slurp($file);
	my $at = $where < 1 ? int($where * (length($text) - 1)) : $where;
	substr($text, $at, 1) ^= "\x40";
	open(my $fh, '+<:raw', $file) or die "$file: $!";
	print $fh $text;
	close $fh;
}

# Files of a class ('p', 'w', 'm', 'r', 'h', 'a', 'k') at a provider, with paths.
sub objects
{
	my ($folder, $class) = @_;
	my @found = `find '$folder/$class' -type f 2>/dev/null | sort`;
	chomp @found;
	return @found;
}

sub new
{
	my ($class, @providers) = @_;
	@providers = qw(a b c) unless @providers;
	my $dir = tempdir('/tmp/sov_t.XXXXXX', CLEANUP => 0);
	my $self = bless { dir => $dir, bindir => $bindir, providers => [@providers], pid => $$, clusters => {} }, $class;
	chmod 0755, $dir;
	system('chown', 'postgres', $dir) if $> == 0;
	$self->{port} = free_port();
	run_as('mkdir', '-m', '700', map { "$dir/$_" } @providers);
	$self->configure(@providers);
	run_as(command(), '-c', $self->conf, 'key', 'create-root');
	return $self;
}

# The URI of a key of this name in SoftHSM2, whose token is made once a test; undef where
# it is not installed.
sub hsm
{
	my ($self, $object) = @_;
	my $dir = $self->dir;
	my $module = '/usr/lib/softhsm/libsofthsm2.so';
	return undef unless -r $module;
	$ENV{SOFTHSM2_CONF} = "$dir/softhsm.conf";
	unless (-e $ENV{SOFTHSM2_CONF})
	{
		spit("$dir/softhsm.conf", "directories.tokendir = $dir/tokens\nobjectstore.backend = file\nlog.level = ERROR\n");
		spit("$dir/pin", "1234\n");
		chmod 0644, "$dir/softhsm.conf";
		chmod 0600, "$dir/pin";
		system('chown', 'postgres', "$dir/pin") if $> == 0;
		run_as('mkdir', '-p', '-m', '700', "$dir/tokens");
		run_as('softhsm2-util', '--init-token', '--free', '--label', 'controller', '--so-pin', '5678', '--pin', '1234');
	}
	return "pkcs11:token=controller;object=$object?module-path=$module&pin-source=file:$dir/pin";
}

sub free_port
{
	my $s = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or die;
	my $p = $s->sockport;
	close $s;
	return $p;
}

sub dir { return $_[0]{dir}; }
sub conf { return "$_[0]{dir}/sov.conf"; }

# Write the configuration with these providers; extra lines by section.
sub configure
{
	my ($self, @providers) = @_;
	my $d = $self->{dir};
	my $data = $self->{data} || "$d/data";
	my $n = @providers;
	my $text = "[cluster]\ndata-directory = $data\nconnection = host=$d port=$self->{port} user=postgres dbname=postgres\n" .
		"[repository]\nname = test\nneeded = 2\nshards = $n\nstate-directory = $d/state\n" .
		"[custody]\nroot = file:$d/root.key\n";
	$text .= "[provider.$_]\ntype = folder\npath = $d/$_\n" for @providers;
	spit($self->conf . '.new', $text);
	chmod 0644, $self->conf . '.new';
	rename $self->conf . '.new', $self->conf;
}

# The command: (exit code, standard output, standard error).
sub sov { my ($self, @args) = @_; return capture(as($self->sov_cmd(@args))); }
sub sov_cmd { my ($self, @args) = @_; return (command(), '-c', $self->conf, @args); }
# The same, which must succeed: standard output and error together.
sub sov_ok
{
	my ($self, @args) = @_;
	my ($status, $out, $err) = $self->sov(@args);
	die "pg_sovereign @args: exit $status\n$out$err" if $status ne '0';
	return $out . $err;
}

# Name another root key in the configuration.
sub root_is
{
	my ($self, $uri) = @_;
	spit($self->conf, slurp($self->conf) =~ s/^root = .*/root = $uri/mr);
}

# Ids of the root keys that are needed, sorted.
sub needed_roots
{
	my ($self) = @_;
	my (undef, $out) = $self->sov('key', 'where', '--json');
	my ($roots) = $out =~ /"needed_roots": \{(.*?)\}/s;
	return sort($roots =~ /"([0-9a-f-]{36})"/g);
}

# One test: the command ends with this status, its output matches, and an error
# says what to do.
sub sov_is
{
	my ($self, $name, $status, $re, @args) = @_;
	my ($got, $out, $err) = $self->sov(@args);
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	Test::More::ok($got eq $status && "$out$err" =~ $re && ($err !~ /error:/ || $err =~ /^hint: ./m), $name)
	  or Test::More::diag("pg_sovereign @args: exit $got, wanted $status and $re\n$out$err");
}

# Start a program in the background as the server's user, not through runuser: it must
# get signals itself.  What it prints goes to a file; its process id.
sub background
{
	my ($file, @cmd) = @_;
	my $pid = fork() // die;
	return $pid if $pid;
	open(STDIN, '<', '/dev/null');
	open(STDOUT, '>', $file);
	open(STDERR, '>&', \*STDOUT);
	if ($> == 0)
	{
		my (undef, undef, $uid, $gid) = getpwnam('postgres');
		$) = "$gid $gid";
		$( = $gid;
		POSIX::setuid($uid) or POSIX::_exit(97);
	}
	$SIG{INT} = 'DEFAULT';	# a shell that starts the tests in the background has it ignored
	exec(@cmd) or POSIX::_exit(99);
}

# Start the command and kill it (SIGKILL) after some seconds; true when it was
# still running.
sub sov_killed
{
	my ($self, $seconds, @args) = @_;
	my $pid = background('/dev/null', $self->sov_cmd(@args));
	sleep $seconds;
	kill 'KILL', $pid;
	waitpid($pid, 0);
	return ($? & 127) == 9;
}

# Make and start a cluster that archives to the repository.
sub start_new
{
	my ($self, %opt) = @_;
	my $data = "$self->{dir}/data";
	run_as("$self->{bindir}/initdb", '-D', $data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C.UTF-8', '--no-sync',
		$opt{initdb} ? @{ $opt{initdb} } : '--data-checksums');
	open(my $fh, '>>', "$data/postgresql.conf") or die;
	print $fh <<CONF;
port = $self->{port}
listen_addresses = ''
unix_socket_directories = '$self->{dir}'
archive_mode = on
archive_library = 'pg_sovereign'
sovereign.config_file = '@{[$self->conf]}'
log_line_prefix = ''
CONF
	print $fh "dynamic_library_path = '$build:\$libdir'\nsovereign.command = '@{[command()]}'\n" if $build;
	print $fh $opt{conf} // '';
	close $fh;
	$self->start($data);
	return $data;
}

sub start
{
	my ($self, $data, $options) = @_;
	$self->{clusters}{$data} = 1;
	my $log = "$data.log";
	my ($status, $out, $err) = capture(as("$self->{bindir}/pg_ctl", '-D', $data, '-l', $log, '-w', '-t', '120', $options ? ('-o', $options) : (), 'start'));
	die "server did not start: $out$err" . slurp($log) if $status ne '0';
	for (1 .. 1200)
	{
		last if $self->sql('SELECT pg_is_in_recovery()', nofail => 1) eq 'f' || $self->{keep_recovery};
		sleep 0.1;
	}
}

# Stop it cleanly and start it again, with more options for the server.
sub restart
{
	my ($self, $data, $options) = @_;
	$self->stop($data, 'fast');
	$self->start($data, $options);
}

sub stop
{
	my ($self, $data, $mode) = @_;
	capture(as("$self->{bindir}/pg_ctl", '-D', $data, '-m', $mode || 'immediate', '-w', 'stop'));
	delete $self->{clusters}{$data};
}

sub sql
{
	my ($self, $sql, %opt) = @_;
	my ($status, $out, $err) = capture(as("$self->{bindir}/psql", '-X', '-q', '-At', '-v', 'ON_ERROR_STOP=1', '-h', $self->{dir},
		'-p', $self->{port}, '-U', 'postgres', '-d', 'postgres', '-c', $sql));
	return $opt{nofail} ? '' : die "$sql: $err" if $status ne '0';
	chomp $out;
	return $out;
}

# Close the segment and wait until the archiver has nothing left; false when not
# within the time.
sub archive
{
	my ($self, $seconds) = @_;
	$self->sql("SELECT pg_switch_wal()");
	return $self->archived($seconds);
}

sub archived
{
	my ($self, $seconds) = @_;
	my $end = time + ($seconds || 60);
	while (time < $end)
	{
		return 1 if $self->sql("SELECT count(*) FROM pg_ls_dir('pg_wal/archive_status') f WHERE f LIKE '%.ready'") eq '0';
		sleep 0.1;
	}
	return 0;
}

# Back up a cluster at rest, restore it, and compare every file of every relation.
# Returns the bytes that the backup stored; $t->{restored} is the directory (keep).
sub backup_is_right
{
	my ($self, $what, %opt) = @_;
	my $from = $opt{data} || "$self->{dir}/data";
	my $to = $self->{restored} = "$self->{dir}/r" . ++$self->{restores};
	local $Test::Builder::Level = $Test::Builder::Level + 2;
	$self->sql('CHECKPOINT');
	my ($status, $out, $err) = $self->sov('backup', '--json', @{ $opt{options} || [] });
	Test::More::is($status, 0, "$what: backup") or Test::More::diag("$out$err");
	my ($stored) = $out =~ /"stored": (\d+)/;
	($status, $out, $err) = $self->sov('restore', '-D', $to, @{ $opt{restore} || [] });
	Test::More::is($status, 0, "$what: restore") or Test::More::diag("$out$err");
	my ($files, $differ) = (0, '');
	for my $file (split /\n/, `cd '$from' && find base global -type f`)
	{
		next if $file =~ m{pg_control|pg_internal\.init|pgsql_tmp} || ($opt{but} && $file =~ $opt{but});
		$files++;
		$differ .= "$file " if compare("$from/$file", "$to/$file") != 0;
	}
	Test::More::ok($files > 200 && $differ eq '', "$what: all $files files are the same") or Test::More::diag("different: $differ");
	system('rm', '-rf', $to) unless $opt{keep};
	return $stored;
}

# Read until the text shows the pattern; for logs.
sub wait_log
{
	my ($self, $file, $pattern, $seconds) = @_;
	my $end = time + ($seconds || 30);
	while (time < $end)
	{
		return 1 if slurp($file) =~ $pattern;
		sleep 0.1;
	}
	return 0;
}

sub DESTROY
{
	my ($self) = @_;
	return if $self->{pid} != $$;
	local ($?, $@);
	$self->stop($_) for keys %{ $self->{clusters} };
	system('rm', '-rf', $self->{dir}) unless $ENV{KEEP};
}

1;
