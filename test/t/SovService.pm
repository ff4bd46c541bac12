# SovService - programs that are servers of a test, ended with it.
package SovService;

use strict;
use warnings;
use Exporter 'import';
use FindBin;
use POSIX ();
use SovTest;

our @EXPORT = qw(service kmip_service private);

my @pids;
END { local $?; kill '-KILL', @pids if @pids; }	# each leads a group

# Start one that writes its port to HOME/port; its port.
sub service
{
	my ($home, @cmd) = @_;
	my $pid = fork();
	if ($pid == 0)
	{
		POSIX::setsid();
		open(STDOUT, '>', "$home/log");
		open(STDERR, '>&', \*STDOUT);
		exec(@cmd) or POSIX::_exit(99);
	}
	push @pids, $pid;
	for (1 .. 300)
	{
		return slurp("$home/port") if -s "$home/port";
		select(undef, undef, undef, 0.05);
	}
	die "@cmd did not start: " . slurp("$home/log");
}

# PyKMIP: its process group, or undef where it is not installed.
sub kmip_service
{
	my ($home) = @_;
	my $started = system('bash', "$FindBin::Bin/../servers/pykmip.sh", $home) >> 8;
	return undef if $started == 77;
	die "PyKMIP did not start ($started)" if $started != 0;
	push @pids, split ' ', slurp("$home/pids");
	return $pids[-1];
}

# A file for the server's user alone; with text it is made.
sub private
{
	my ($file, $text) = @_;
	spit($file, $text) if defined $text;
	chmod 0600, $file;
	system('chown', 'postgres', $file) if $> == 0;
}

1;
