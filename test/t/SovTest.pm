# SovTest - throwaway clusters and repositories for the tests.
#
# The tests may run as root or not.  Whatever belongs to a server (its files, the
# repository, the command) is run as one unprivileged user: "postgres" when the
# test runs as root, else whoever runs it.  Everything lies in one scratch
# directory under /tmp; END stops the servers started here and removes it.
# KEEP=1 keeps it and tells where.
#
# The extension and the command must be installed (make install); PG_CONFIG
# chooses the server, PG_SOVEREIGN the command.
#
#	my $t = SovTest->new(providers => ['a', 'b', 'c'], needed => 2);
#	$t->sov_ok('init');                          # pg_sovereign -c CONF init
#	my $n = $t->cluster(archive => 1);            # initdb, start
#	$n->psql('SELECT 1');
package SovTest;

use strict;
use warnings;
use Cwd qw(abs_path);
use File::Temp qw(tempdir);
use Test::More ();
use Time::HiRes qw(sleep time);

my $pg_config = $ENV{PG_CONFIG} || 'pg_config';
my ($bindir, @servers, @scratch);
my $next_port = 20000 + $$ % 20000;

# --- running commands ---

sub bindir
{
	$bindir //= do { my $d = `$pg_config --bindir 2>/dev/null`; chomp $d; $d };
	return $bindir;
}

# Why no test with a server can run here; undef when it can.
sub unable
{
	return 'pg_config was not found' unless -x bindir() . '/postgres';
	return 'the extension is not installed (make install)' unless -x command();
	return 'root needs the system user postgres' if $> == 0 && !defined getpwnam('postgres');
	return undef;
}

sub command { return $ENV{PG_SOVEREIGN} || bindir() . '/pg_sovereign'; }

# The command line that runs @_ as the unprivileged user.
sub as_user { return $> == 0 ? ('runuser', '-u', 'postgres', '--', @_) : @_; }

# Start a command as the unprivileged user; its output goes to two files.
# Returns its process id.
sub spawn
{
	my ($self, $out, $err, @cmd) = @_;
	my $pid = fork() // die "fork: $!";
	return $pid if $pid;
	chdir $self->{dir};
	open(STDIN, '<', '/dev/null') && open(STDOUT, '>', $out) && open(STDERR, '>', $err) or exit 98;
	if ($> == 0)
	{
		# Not through runuser: the process must be the one that is killed.
		my (undef, undef, $uid, $gid) = getpwnam('postgres');
		$) = "$gid $gid";
		$( = $gid;
		($<, $>) = ($uid, $uid);
		exit 97 if $> != $uid || $< != $uid;
	}
	exec { $cmd[0] } @cmd or exit 99;
}

sub status_of
{
	my ($wait) = @_;
	return $wait & 127 ? 256 + ($wait & 127) : $wait >> 8;
}

# Run to the end: (exit status, standard output, standard error).  A process
# that a signal ended has status 256 + signal.
sub run
{
	my ($self, @cmd) = @_;
	my ($out, $err) = map { "$self->{dir}/" . ++$self->{runs} . ".$_" } qw(out err);
	waitpid($self->spawn($out, $err, @cmd), 0);
	my @result = (status_of($?), slurp($out), slurp($err));
	unlink $out, $err;
	return @result;
}

sub slurp
{
	my ($file) = @_;
	open(my $fh, '<:raw', $file) or return '';
	local $/;
	return <$fh> // '';
}

sub spit
{
	my ($file, $bytes) = @_;
	open(my $fh, '>:raw', $file) or die "$file: $!";
	print $fh $bytes;
	close $fh or die "$file: $!";
	give($file);
}

# Make files the unprivileged user's.
sub give
{
	return unless $> == 0;
	my (undef, undef, $uid, $gid) = getpwnam('postgres');
	chown $uid, $gid, @_;
}

# --- a scratch area: providers, root key, configuration ---

sub new
{
	my ($class, %o) = @_;
	my $base = tempdir('/tmp/sov_t.XXXXXX');
	my $self = bless {
		dir => $base,
		conf => "$base/sov.conf",
		key => "$base/root.key",
		state => "$base/state",
		data => "$base/data",
		providers => $o{providers} || ['nord', 'ouest', 'sud'],
		needed => $o{needed} || 2,
		extra => $o{extra} || '',
		runs => 0,
		port => $next_port++,
	}, $class;
	push @scratch, $self;
	chmod 0755, $base;
	give($base);
	mkdir $self->provider_dir($_) for @{$self->{providers}};
	give(map { $self->provider_dir($_) } @{$self->{providers}});
	$self->write_conf;
	$self->sov_ok('key', 'create-root');
	return $self;
}

sub provider_dir
{
	my ($self, $name) = @_;
	return "$self->{dir}/provider_$name";
}

# Write the configuration anew: providers => [...], data => '...', text => sub
# that changes the text.
sub write_conf
{
	my ($self, %o) = @_;
	$self->{providers} = $o{providers} if $o{providers};
	$self->{data} = $o{data} if $o{data};
	my @p = @{$self->{providers}};
	my $text = "[cluster]\ndata-directory = $self->{data}\n"
	  . "connection = host=$self->{dir} port=$self->{port} user=postgres dbname=postgres\n"
	  . "[repository]\nname = test\nneeded = $self->{needed}\nshards = " . ($o{shards} || @p)
	  . "\nstate-directory = $self->{state}\n$self->{extra}"
	  . "[custody]\nroot = file:$self->{key}\n";
	$text .= "[provider.$_]\ntype = folder\npath = " . $self->provider_dir($_) . "\n" for @p;
	$text = $o{text}->($text) if $o{text};
	for my $p (@p)
	{
		my $d = $self->provider_dir($p);
		next if -e $d || $o{no_mkdir};
		mkdir $d;
		give($d);
	}
	spit($self->{conf}, $text);
}

# pg_sovereign with the configuration: (status, out, err)
sub sov
{
	my ($self, @args) = @_;
	return $self->run(command(), '-c', $self->{conf}, @args);
}

# The same, must succeed; returns standard output.
sub sov_ok
{
	my ($self, @args) = @_;
	my ($status, $out, $err) = $self->sov(@args);
	if ($status != 0)
	{
		Test::More::diag("pg_sovereign @args: status $status\n$out$err");
		die "pg_sovereign @args failed\n";
	}
	return $out;
}

# One test: pg_sovereign @args exits with $status, $err_re matches its standard
# error, and where it fails it says what to do.
sub sov_is
{
	my ($self, $name, $status, $re, @args) = @_;
	my ($got, $out, $err) = $self->sov(@args);
	my $ok = $got == $status && "$out$err" =~ $re && ($status == 0 || $err !~ /error:/ || $err =~ /^hint: ./m);
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	Test::More::ok($ok, $name) or Test::More::diag("pg_sovereign @args: status $got, wanted $status and $re\n$out$err");
	return ($got, $out, $err);
}

# Objects of a provider, as paths: objects('nord') or objects('nord', qr/.../).
sub objects
{
	my ($self, $provider, $re) = @_;
	my $d = $self->provider_dir($provider);
	my @files = grep { -f } split /\n/, `find '$d' -type f | LC_ALL=C sort`;
	return grep { !defined $re || $_ =~ $re } @files;
}

# Flip bits of one byte; a negative offset counts from the end.
sub corrupt_byte
{
	my ($file, $offset) = @_;
	my $bytes = slurp($file);
	$offset += length $bytes if $offset < 0;
	die "$file has no byte $offset\n" if $offset < 0 || $offset >= length $bytes;
	substr($bytes, $offset, 1) ^= "\x5a";
	my $mode = (stat $file)[2] & 07777;
	chmod $mode | 0200, $file;
	spit($file, $bytes);
	chmod $mode, $file;
}

# --- a cluster ---

# cluster(archive => 1, data => DIR, conf => 'more lines'): initdb and start
sub cluster
{
	my ($self, %o) = @_;
	$self->{data} = $o{data} if $o{data};
	my ($s, $out, $err) = $self->run(bindir() . '/initdb', '-D', $self->{data}, '-U', 'postgres', '-A', 'trust',
		'-E', 'UTF8', '--locale=C.UTF-8', '--data-checksums', '--no-sync');
	die "initdb: $out$err" if $s != 0;
	open(my $fh, '>>', "$self->{data}/postgresql.conf") or die;
	print $fh "port = $self->{port}\nlisten_addresses = ''\nunix_socket_directories = '$self->{dir}'\n"
	  . "fsync = off\nmax_wal_senders = 4\nshared_buffers = 64MB\nsovereign.config_file = '$self->{conf}'\n"
	  . "sovereign.command = '" . command() . "'\n";
	print $fh "archive_mode = on\narchive_library = 'pg_sovereign'\n" if $o{archive};
	print $fh "$o{conf}\n" if $o{conf};
	close $fh;
	$self->start;
	return $self;
}

sub start
{
	my ($self, $data) = @_;
	$self->{data} = $data if $data;
	my ($s, $out, $err) = $self->run(bindir() . '/pg_ctl', '-D', $self->{data}, '-l', "$self->{dir}/log", '-w', '-t', '120', 'start');
	if ($s != 0)
	{
		Test::More::diag($self->log_tail);
		die "pg_ctl start: $out$err";
	}
	push @servers, $self unless grep { $_ == $self } @servers;
	$self->{running} = 1;
}

sub stop
{
	my ($self, $mode) = @_;
	my ($s, $out, $err) = $self->run(bindir() . '/pg_ctl', '-D', $self->{data}, '-m', $mode || 'fast', '-w', '-t', '120', 'stop');
	$self->{running} = 0;
	die "pg_ctl stop: $out$err" if $s != 0;
}

sub log_tail
{
	my ($self, $n) = @_;
	my @lines = split /^/, slurp("$self->{dir}/log");
	$n ||= 30;
	return join '', @lines > $n ? @lines[-$n .. -1] : @lines;
}

# psql -At: (status, out, err); the last newline is cut
sub psql_try
{
	my ($self, $sql, %o) = @_;
	my ($s, $out, $err) = $self->run(bindir() . '/psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-h', $self->{dir},
		'-p', $self->{port}, '-U', 'postgres', '-d', $o{db} || 'postgres', '-c', $sql);
	chomp $out;
	return ($s, $out, $err);
}

# The same, must succeed; returns standard output.
sub psql
{
	my ($self, $sql, %o) = @_;
	my ($s, $out, $err) = $self->psql_try($sql, %o);
	die "psql: $sql\n$err" if $s != 0;
	return $out;
}

# Wait until a query gives $want (default "t"); false after $seconds.
sub wait_for
{
	my ($self, $sql, $want, $seconds) = @_;
	my $end = time + ($seconds || 60);
	$want //= 't';
	while (1)
	{
		my ($s, $out) = $self->psql_try($sql);
		return 1 if $s == 0 && $out eq $want;
		return 0 if time > $end;
		sleep 0.1;
	}
}

# Close the current segment and wait until it is archived; returns its name.
sub wait_for_archived
{
	my ($self, $seconds) = @_;
	my $file = $self->psql('SELECT pg_walfile_name(pg_current_wal_lsn())');
	$self->psql("SELECT pg_logical_emit_message(false, 'test', 'x'); SELECT pg_switch_wal()");
	$self->wait_for("SELECT last_archived_wal >= '$file' FROM pg_stat_archiver", 't', $seconds)
	  or die "segment $file was not archived:\n" . $self->log_tail;
	return $file;
}

# Restore and start on another directory: restore_and_start(DIR, @options)
sub restore_and_start
{
	my ($self, $dir, @options) = @_;
	$self->sov_ok('restore', '-D', $dir, @options);
	$self->start($dir);
	$self->wait_for('SELECT NOT pg_is_in_recovery()', 't', 120)
	  or die "recovery did not end:\n" . $self->log_tail;
}

# --- the end ---

END
{
	my $status = $?;
	for my $s (@servers)
	{
		next unless -f "$s->{data}/postmaster.pid";
		$s->run(bindir() . '/pg_ctl', '-D', $s->{data}, '-m', 'immediate', '-w', 'stop');
	}
	for my $s (@scratch)
	{
		if ($ENV{KEEP}) { Test::More::diag("kept: $s->{dir}"); next; }
		system('rm', '-rf', $s->{dir}) if $s->{dir} =~ m{^/tmp/sov_t\.\w+$};
	}
	$? = $status;
}

1;
