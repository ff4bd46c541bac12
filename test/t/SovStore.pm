# SovStore - an S3 store that misbehaves when it is told to.
#
# It speaks what the adapter needs (path style; signatures are not looked at), keeps
# objects in memory files below its directory, and does what the file "mode" there
# says at each request:
#
#   ok         as it should
#   slow       1 kB a second, both ways
#   hang       takes the request and never answers; "hang GET": only these; "hang PUT p/": only
#              of what is called so (hung() tells how many)
#   429, 503   with Retry-After: 1
#   500, 507   an error; no space (of what is stored)
#   cut        sends half of the body
#   lie        one bit of each body is wrong
#   stale      the first version of each object, whatever was put since
#   down       closes every connection
#   append     who signs with the access key "host" may add, and neither remove nor
#              overwrite (a bucket policy without DeleteObject, and versions that stay)
package SovStore;

use strict;
use warnings;
use IO::Socket::INET;
use POSIX ();
use Time::HiRes qw(sleep time);

# Start it: the section's lines for the configuration.
sub new
{
	my ($class, $dir, $name) = @_;
	mkdir "$dir/$name.store" or die "$dir/$name.store: $!";
	my $listen = IO::Socket::INET->new(Listen => 64, LocalAddr => '127.0.0.1', ReuseAddr => 1) or die "$!";
	my $self = bless { dir => "$dir/$name.store", name => $name, port => $listen->sockport, owner => $$ }, $class;
	$self->mode('ok');
	$self->{pid} = fork() // die;
	if ($self->{pid} == 0) { eval { serve($self, $listen) }; print STDERR $@; POSIX::_exit(1); }
	close $listen;
	return $self;
}

sub mode
{
	my ($self, $mode) = @_;
	open(my $f, '>', "$self->{dir}/mode.new") or die;
	print $f $mode;
	close $f;
	rename "$self->{dir}/mode.new", "$self->{dir}/mode";
}

sub section
{
	my ($self, $credentials, @more) = @_;
	return "[provider.$self->{name}]\ntype = s3\nendpoint = http://127.0.0.1:$self->{port}\nallow-http = yes\nregion = r\nbucket = b\n" .
		"credentials-file = $credentials\n" . join('', map { "$_\n" } @more);
}

sub DESTROY { my ($self) = @_; kill 'KILL', -$self->{pid} if $self->{owner} == $$; }

# --- the server's side ---

sub serve
{
	my ($self, $listen) = @_;
	setpgrp(0, 0);
	$SIG{CHLD} = 'IGNORE';
	$SIG{PIPE} = 'IGNORE';
	while (1)
	{
		my $c = $listen->accept or next;
		if (slurp("$self->{dir}/mode") eq 'down') { close $c; next; }
		my $pid = fork();
		next if $pid;
		close $listen;
		eval { 1 while one_request($self, $c) };
		POSIX::_exit(0);
	}
}

sub slurp { my ($f) = @_; open(my $h, '<:raw', $f) or return undef; local $/; return scalar(<$h>) // ''; }

sub one_request
{
	my ($self, $c) = @_;
	my $line = readline($c) // return 0;
	my ($method, $path, $query) = $line =~ m{^(\S+) /b/?([^ ?]*)\??(\S*) HTTP} or return 0;
	my %head;
	while (defined(my $h = readline($c))) { last if $h =~ /^\r?\n/; $head{ lc $1 } = $2 if $h =~ /^([^:]+):\s*(.*?)\r?\n/; }
	my $mode = slurp("$self->{dir}/mode");
	my $body = '';
	for (my $left = $head{'content-length'} // 0; $left > 0;)
	{
		my $n = read($c, $body, $mode eq 'slow' ? ($left < 256 ? $left : 256) : $left, length $body) or return 0;
		$left -= $n;
		sleep 0.25 if $mode eq 'slow';
	}
	return 0 if $mode eq 'down';
	if ($mode =~ /^hang(?: $method(?: (\S+))?)?$/ && index($path, $1 // '') == 0) { note($self, 'hung', "$method $path"); sleep 1 while 1; }
	return answer($c, $mode, $1, "<Error><Code>SlowDown</Code></Error>", "Retry-After: 1\r\n") if $mode =~ /^(429|500|503)$/;
	return answer($c, $mode, 507, '<Error><Code>InsufficientStorage</Code></Error>') if $mode eq '507' && $method eq 'PUT';
	$path =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ge;
	$head{append} = $mode eq 'append' && ($head{authorization} // '') =~ m{Credential=host/};
	return list($self, $c, $mode, $query) if $path eq '' && $method eq 'GET';
	return object($self, $c, $mode, $method, $path, \%head, $body);
}

sub object
{
	my ($self, $c, $mode, $method, $path, $head, $body) = @_;
	my $file = "$self->{dir}/o." . ($path =~ s/([^A-Za-z0-9])/sprintf '_%02x', ord $1/ger);
	if ($head->{append} && ($method eq 'DELETE' || ($method eq 'PUT' && !$head->{'if-none-match'} && -e $file)))
	{
		note($self, 'refused', "$method $path");
		return answer($c, $mode, 403, '<Error><Code>AccessDenied</Code></Error>');
	}
	if ($method eq 'PUT')
	{
		return answer($c, $mode, 412, '<Error><Code>PreconditionFailed</Code></Error>') if $head->{'if-none-match'} && -e $file;
		link $file, "$file.first" if -e $file;	# for "stale"
		open(my $f, '>:raw', "$file.$$.new") or die;
		print $f $body;
		close $f;
		rename "$file.$$.new", $file;
		return answer($c, $mode, 200, '', "ETag: \"x\"\r\n");
	}
	if ($method eq 'DELETE') { unlink $file, "$file.first"; return answer($c, $mode, 204, ''); }
	my $there = slurp($mode eq 'stale' && -e "$file.first" ? "$file.first" : $file);
	return answer($c, $mode, 404, $method eq 'HEAD' ? '' : '<Error><Code>NoSuchKey</Code></Error>') unless defined $there;
	my ($status, $more, $all) = (200, "Last-Modified: " . POSIX::strftime('%a, %d %b %Y %H:%M:%S GMT', gmtime((stat $file)[9])) . "\r\nETag: \"x\"\r\n", length $there);
	if (($head->{range} // '') =~ /bytes=(\d+)-(\d*)/)
	{
		return answer($c, $mode, 416, '<Error><Code>InvalidRange</Code></Error>') if $1 >= $all;
		my $last = $2 eq '' || $2 >= $all ? $all - 1 : $2;
		$there = substr($there, $1, $last - $1 + 1);
		($status, $more) = (206, $more . "Content-Range: bytes $1-$last/$all\r\n");
	}
	return answer($c, $mode, $status, $there, $more, $method eq 'HEAD');
}

# What was refused, one line each.
sub refused { my ($self) = @_; return split /\n/, slurp("$self->{dir}/refused") // ''; }
sub hung { my ($self) = @_; return scalar split /\n/, slurp("$self->{dir}/hung") // ''; }
sub note { my ($self, $what, $line) = @_; open(my $f, '>>', "$self->{dir}/$what") or die; print $f "$line\n"; }

sub list
{
	my ($self, $c, $mode, $query) = @_;
	my %q = map { my ($k, $v) = split /=/, $_, 2; $v = $v // ''; $v =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ge; ($k => $v) } split /&/, $query;
	my $xml = '<?xml version="1.0"?><ListBucketResult><Name>b</Name><IsTruncated>false</IsTruncated>';
	opendir(my $d, $self->{dir}) or die;
	for my $f (sort grep { /^o\./ && !/\.(?:first|new)$/ } readdir $d)
	{
		my $key = substr($f, 2) =~ s/_([0-9a-f]{2})/chr hex $1/ger;
		next if index($key, $q{prefix} // '') != 0;
		my $size = -s "$self->{dir}/$f" // next;
		$xml .= "<Contents><Key>$key</Key><LastModified>" . POSIX::strftime('%Y-%m-%dT%H:%M:%S.000Z', gmtime((stat _)[9])) . "</LastModified><ETag>\"x\"</ETag><Size>$size</Size></Contents>";
	}
	return answer($c, $mode, 200, "$xml</ListBucketResult>", "Content-Type: application/xml\r\n");
}

sub answer
{
	my ($c, $mode, $status, $body, $more, $head_only) = @_;
	my $length = length $body;
	if ($mode eq 'lie' && $length > 0 && $status < 300) { substr($body, $length / 2, 1) ^= "\x10"; }
	$body = '' if $head_only;
	my $reply = "HTTP/1.1 $status x\r\nContent-Length: $length\r\n" . ($more // '') . "\r\n";
	if ($mode eq 'cut' && length $body > 1) { print $c $reply, substr($body, 0, $length / 2); $c->flush; close $c; return 0; }
	if ($mode eq 'slow')
	{
		for (my $all = $reply . $body; length $all; sleep 0.25) { print $c substr($all, 0, 256, ''); $c->flush or return 0; }
		return 1;
	}
	print $c $reply, $body;
	$c->flush;
	return 1;
}

1;
