# Every kind of damage, one by one: a flipped byte in every kind of object at
# several places, shards cut and swapped, old states, foreign places, two
# providers gone, the root key, kill -9, mistakes in the configuration.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Digest::MD5 qw(md5_hex);
use File::Basename qw(basename);
use File::Temp qw(tempdir);
use SovTest;
use Test::More;
use Time::HiRes qw(sleep time);

plan skip_all => SovTest::unable() if SovTest::unable();

my $t = SovTest->new(qw(nord ouest sud));
my $dir = $t->dir;
my $data = "$dir/data";
my @providers = qw(nord ouest sud);
my ($noted, $restored) = ('', 0);

# Objects of a class at a provider, with paths.
sub at { my ($provider, $class) = @_; return $class eq 'id' ? "$dir/$provider/id" : objects("$dir/$provider", $class); }

sub oldest_first { my @o = at(@_); my %age = map { $_ => (stat)[9] } @o; return sort { $age{$a} <=> $age{$b} || $a cmp $b } @o; }

# Everything at the providers and in the local state, to come back to.
sub snapshot { run_as('rm', '-rf', "$dir/saved"); run_as('mkdir', "$dir/saved"); copy_all($dir, "$dir/saved"); }
sub rollback { copy_all("$dir/saved", $dir); }
sub copy_all
{
	my ($from, $to) = @_;
	for my $d ('state', @providers)
	{
		run_as('rm', '-rf', "$to/$d");
		run_as('cp', '-a', "$from/$d", "$to/$d");
	}
}

# A fingerprint of everything that lies at the providers.
sub stored
{
	return md5_hex join '', map { -e "$dir/$_" ? `cd '$dir/$_' && find . -type f -exec sha256sum {} + | LC_ALL=C sort` : "$_ is away\n" } @providers;
}

# Restore to the end of WAL, start, compare with what was noted, stop.
my $digest = q{SELECT count(*) || ' ' || md5(string_agg(id || note, ',' ORDER BY id)) FROM visit};
sub restores
{
	my ($name, @options) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $new = "$dir/restored" . ++$restored;
	my $got = eval { $t->sov_ok('restore', '-D', $new, @options); $t->start($new); $t->sql($digest) };
	is($got, $noted, $name) or diag($@);
	$t->stop($new);
	run_as('rm', '-rf', $new);
}

# --- a cluster with a backup and WAL after it ---
$t->sov_ok('init');
$t->start_new;
$t->sql(q{CREATE TABLE visit (id int PRIMARY KEY, note text);
	INSERT INTO visit SELECT i, md5(i::text) || md5((i * 7)::text) FROM generate_series(1, 20000) i});
$t->sov_ok('backup', '--label', 'first');
my $first_heads = join ' ', map { basename($_) } at('nord', 'h');
$t->sql(q{INSERT INTO visit SELECT i, md5(i::text) FROM generate_series(20001, 30000) i});
$t->archive or die 'WAL is not archived';
$t->sov_ok('backup', '--label', 'second');
$t->sql(q{INSERT INTO visit SELECT i, md5(i::text) FROM generate_series(30001, 31000) i});
$t->archive or die 'WAL is not archived';
$noted = $t->sql($digest);
{
	my $began = time;
	$t->stop($data, 'fast');
	cmp_ok(time - $began, '<', 20, 'the server stops without waiting for the archiver\'s next minute');
}
snapshot();
$t->sov_is('all is well at the start', 0, qr/0 missing, 0 damaged, 0 lost/, 'verify', '--deep');

# --- a flipped byte in every kind of object ---
# What is stored whole is put right as soon as it is seen (verify tells of it and
# ends with 0); shards are only named, and left to repair.
my %kinds = (a => "administrator's head", h => "writer's head", id => 'identity', k => 'keyring',
	m => 'manifest', p => 'pack', r => 'share', w => 'WAL');
for my $kind (sort keys %kinds)
{
	my @objects = at('ouest', $kind);
	ok(@objects > 0, "there is an object of kind $kind ($kinds{$kind})") or next;
	my $whole = $kind =~ /^(a|h|id|k)$/;
	for my $object ($whole && @objects > 1 ? @objects[0, -1] : $objects[0])
	{
		(my $name = $object) =~ s{.*/ouest/}{};
		my $size = -s $object;
		for my $offset (0, 45, int($size / 2), $size - 1)
		{
			flip_byte($object, $offset);
			my ($status, $out, $err) = $t->sov('verify', '--deep');
			my $named = $whole ? "$out$err" =~ /provider ouest/ : $out =~ /damaged +provider ouest, object \Q$name\E/;
			ok($named && ($status == 5 || $whole && $status == 0), "$kinds{$kind}, byte $offset: named by verify")
			  or diag("$name, status $status: $out$err");
			my ($mended, $o1, $e1) = $t->sov('repair');
			my ($again, $o2, $e2) = $t->sov('verify', '--deep');
			ok($mended == 0 && $again == 0 && "$o2$e2" !~ /ouest/, 'mended by repair')
			  or diag("repair $mended: $o1$e1\nverify $again: $o2$e2");
			rollback();
		}
	}
}

# --- an object that grew beyond all measure ---
for my $kind (grep { /^(a|h|id|k)$/ } sort keys %kinds)
{
	my $object = (at('ouest', $kind))[-1];
	my $size = -s $object;
	truncate($object, 3 << 30) or die "$object: $!";
	$t->sov_is("$kinds{$kind} of 3 GB: repair sees that it is damaged", 0, qr/provider ouest/, 'repair');
	is(-s $object, $size, 'and puts it right');
	rollback();
}

# --- all kinds at once at one provider: healed around ---
for my $object (map { at('sud', $_) } keys %kinds)
{
	flip_byte($object, $_) for 0, int((-s $object) / 2);
}
restores('a provider whose every object is damaged is healed around by restore');
rollback();

# --- every object in turn ---
# Of each kind every object at every provider, with the kinds of damage in rotation, each
# of them at least once.  With all providers there what was damaged is healed around;
# with another provider away it is needed: then the restore succeeds or names it.
{
	# (in memory, where there is some: each restore syncs the file system that it writes to)
	my $fast = -w '/dev/shm' && `df -Pk /dev/shm | tail -n 1` =~ /^\S+ +\d+ +\d+ +(\d{6,}) / ? tempdir('/dev/shm/sov_t.XXXXXX', CLEANUP => 1) : $dir;
	chmod 0777, $fast if $fast ne $dir;
	my $to = "$fast/turn";
	srand 31;
	my %old;				# by object: the one of its kind that the provider had before it (the oldest: has last)
	my %damages = (
		'a byte' => sub { flip_byte($_[0], 0.02 + rand 0.96) },
		'cut' => sub { spit($_[0], substr($_[1], 0, int rand length $_[1])) },
		'deleted' => sub { unlink $_[0] or die },
		# (a name is never put twice with other bytes)
		'an older version' => sub { spit($_[0], slurp($old{ $_[0] })) },
		"another's" => sub { spit($_[0], slurp($_[2])) });
	my @ways = sort keys %damages;
	my @wal = sort grep { /^[0-9A-F]{24}$|\.backup$/ && -e "$data/pg_wal/archive_status/$_.done" } map { basename($_) } glob("$data/pg_wal/0*");
	my %file_of;			# WAL object => file, once known
	run_as('rm', '-rf', $to);
	$t->sov_ok('restore', '-D', "$dir/healthy");

	# What reads an object of this kind: (status, what was said); checks what it gave.
	my $read = sub {
		my ($kind, $object) = @_;
		return $t->sov('restore', '-D', "$dir/dry", '--dry-run') if $kind =~ /^(a|h|id|k|m)$/;	# (it reads all of the manifest)
		if ($kind eq 'w')
		{
			my @all = ('', '', '');
			for my $name ($file_of{$object} // @wal)
			{
				my @got = $t->sov('wal-fetch', $name, "$fast/fetched");
				$got[2] .= "WAL is not what it was\n" if $got[0] eq '0' && slurp("$fast/fetched") ne slurp("$data/pg_wal/$name");
				unlink "$fast/fetched";
				$all[2] .= $got[2];
				$all[0] = $got[0] if $all[0] eq '' || $got[0] ne '0';
				last if $got[2] =~ /\Q@{[basename($object)]}\E/ && ($file_of{$object} = $name);
			}
			return @all;
		}
		my @got = $t->sov('restore', '-D', $to);
		$got[2] .= `diff -rq '$dir/healthy' '$to' 2>&1` if $got[0] eq '0';
		$got[2] .= "it can be started\n" if $got[0] ne '0' && -e "$to/global/pg_control";
		run_as('rm', '-rf', $to);
		return @got;
	};
	my $began = time;
	my ($turns, %named, $bad) = (0);
	for my $kind (sort keys %kinds)
	{
		my @objects = map { my @o = oldest_first($_, $kind); $old{ $o[$_] } = $o[$_ - 1] for 0 .. $#o; @o } @providers;
		my $most = @objects > @ways ? @objects : @ways;
		for my $n (0 .. $most - 1)
		{
			my $object = $objects[$n % @objects];
			my ($way, $other) = ($ways[$n % @ways], $objects[($n + 1 + int(@objects / 3)) % @objects]);
			my ($provider, $name) = $object =~ m{^\Q$dir\E/([^/]+)/(.*)};
			my ($away) = grep { $_ ne $provider && ($n % 2 || $_ ne 'nord') } @providers;
			my $bytes = slurp($object);
			my $check = sub {
				my ($where, $must, $status, undef, $err) = @_;
				my $names = $err =~ /providers? .*\b\Q$provider\E\b/ && ($err =~ /\Q$name\E/ || $kind =~ /^(a|h|id|k)$/);
				$named{$kind}++ if $status ne '0' && $names;
				$bad .= "$name at $provider, $way, $where: $status $err\n"
				  if $err =~ /differ|Only in|not what it was|can be started/ || ($status ne '0' && ($must || !$names));
			};
			rename("$dir/$away", "$dir/away_$away") or die;
			$damages{$way}->($object, $bytes, -e $other ? $other : $other =~ s{/\Q$away\E/}{/away_$away/}r);
			my @got = $read->($kind, $object);
			$check->("without $away", 0, @got);
			rename("$dir/away_$away", "$dir/$away") or die;
			$check->('with all', 1, $read->($kind, $object)) if $got[0] ne '0';
			run_as('mkdir', '-p', $object =~ s{/[^/]*$}{}r);
			spit($object, $bytes);
			$turns++;
		}
	}
	note(sprintf '%d turns, %.0f s', $turns, time - $began);
	is($bad, undef, "every object in turn, $turns times: healed around, or named where it is needed");
	cmp_ok($named{$_} // 0, '>', 0, "$kinds{$_}: some were needed, and named") for qw(m p r w);
	run_as('rm', '-rf', "$dir/healthy");
	rollback();

	# two of the three shards of one pack: they are of one length
	my ($one) = sort { -s $b <=> -s $a } at('nord', 'p');
	my ($two) = grep { -s $_ == -s $one } at('sud', 'p');
	flip_byte($_, 0.5) for $one, $two;
	my ($status, $out, $err) = $t->sov('restore', '-D', $to);
	my ($first, $second) = map { m{/([^/]+)/(p/[^/]+)$} ? "provider $1, object $2: damaged" : '' } $one, $two;
	ok($status eq '5' && $err =~ /error: .*\Q$first\E/ && $err =~ /error: .*\Q$second\E/ && $err =~ /^hint: /m, 'two of three shards of a pack damaged: the restore fails and names both') or diag("$status $err");
	ok(!-e "$to/global/pg_control", 'and what it left cannot be started');
	run_as('rm', '-rf', $to);
	rollback();
	$t->sov_is('and nothing of it is left', 0, qr/0 missing, 0 damaged, 0 lost/, 'verify', '--deep');
}

# --- every object of the audit log in turn ---
# Whole at every provider: audit verify names each copy that is not as it was, also where
# another provider is away, and repair mends batches.  Of the beat, which is written again
# and again, the newest at any provider counts: one that is gone or old is no finding.
# (audit verify is on record itself, so each time begins with the log as it was.)
{
	$t->sov_is('the audit log is whole at the start', 0, qr/: whole/, 'audit', 'verify');
	snapshot();
	my ($turns, $bad) = (0, '');
	my $as_before = sub {
		run_as('sh', '-c', "cd '$dir' && rm -rf state && cp -a saved/state . && for p in @providers; do rm -rf \$p/l && cp -a saved/\$p/l \$p/ || exit 1; done");
	};
	my @damages = (
		sub { flip_byte($_[0], 0.02 + rand 0.96) },
		sub { spit($_[0], substr($_[1], 0, int rand length $_[1])) },
		sub { unlink $_[0] or die },
		sub { spit($_[0], $_[2]) });	# another's
	my $wrong = sub {
		my ($must, $where, @objects) = @_;
		my ($status, $out, $err) = $t->sov('audit', 'verify');
		for (@objects)
		{
			my ($provider, $name) = m{^\Q$dir\E/([^/]+)/(.*)};
			my $named = "$out$err" =~ /^WRONG: .*\bprovider \Q$provider\E\b.*\Q$name\E/m;
			$bad .= "$name at $provider, $where, status $status: $out$err\n" if $must ? !$named || $status ne '5' : $status ne '0';
		}
	};
	for my $provider (@providers)
	{
		my @objects = at($provider, 'l');
		my @bytes = map { slurp($_) } @objects;
		my $first = $turns % 5;
		ok(@objects > 3 && grep(m{/beat$}, @objects) == 1, "$provider has batches and a beat") or diag "@objects";
		for my $n (0 .. $#objects)
		{
			my ($object, $bytes, $other) = ($objects[$n], $bytes[$n], $bytes[$n - 1]);
			my ($away) = grep { $_ ne $provider && ($n % 2 || $_ ne 'nord') } @providers;
			my $beat = $object =~ m{/beat$};
			for my $way ($beat ? 0 .. $#damages : ($n + $first) % @damages)
			{
				for my $absent ('', $away)
				{
					$as_before->();
					rename("$dir/$absent", "$dir/away_$absent") or die if $absent;
					$damages[$way]->($object, $bytes, $other);
					$wrong->(!$beat || -e $object, "damage $way without \"$absent\"", $object);
					rename("$dir/away_$absent", "$dir/$absent") or die if $absent;
				}
				$turns++;
			}
		}
	}
	is($bad, '', "every object of the audit log in turn, $turns times: named by audit verify");
	$as_before->();
	my @batches = grep { !m{/beat$} } at('ouest', 'l');
	$damages[$_ % @damages]->($batches[$_], slurp($batches[$_]), slurp($batches[$_ - 1])) for 0 .. $#batches;
	$wrong->(1, 'all of a provider', @batches);
	my (undef, $out) = $t->sov('verify');
	my @unnamed = grep { my ($name) = m{/ouest/(.*)}; $out !~ /provider ouest, object \Q$name\E/ } @batches;
	is("$bad@unnamed", '', 'all batches of a provider at once: named by audit verify, and by verify');
	$t->sov_is('mended by repair', 0, qr/[1-9]\d* mended/, 'repair');
	$t->sov_is('and whole again', 0, qr/: whole/, 'audit', 'verify');
	rollback();
}

# --- shards truncated, swapped, missing ---
for my $keep (0, 20, 500, -1)
{
	my ($object) = sort { -s $b <=> -s $a } at('nord', 'p');
	my $bytes = slurp($object);
	(my $name = $object) =~ s{.*/nord/}{};
	spit($object, substr($bytes, 0, $keep));
	$t->sov_is("a shard cut ($keep): named", 5, qr/nord, object \Q$name\E/, 'verify');
	$t->sov_is('mended', 0, qr/1 mended/, 'repair');
	is(-s $object, length $bytes, 'and as long as before');
	rollback();
}
{
	my @a = (at('nord', 'p'))[0, 1];
	rename($a[0], "$dir/x") && rename($a[1], $a[0]) && rename("$dir/x", $a[1]) or die;
	my @names = map { s{.*/nord/}{}r } @a;
	my ($status, $out, $err) = $t->sov('verify', '--deep');
	ok($status == 5 && $out =~ /\Q$names[0]\E/ && $out =~ /\Q$names[1]\E/, 'two shards swapped: both named') or diag("$status $out$err");
	restores('and healed around');
	$t->sov_is('and mended', 0, qr/./, 'repair');
	$t->sov_is('all is well again', 0, qr/0 missing, 0 damaged/, 'verify', '--deep');
	rollback();
}
{
	my ($a) = at('nord', 'p');
	my ($b) = at('sud', 'p');
	my ($x, $y) = (slurp($a), slurp($b));
	spit($a, $y);
	spit($b, $x);
	my ($status, $out, $err) = $t->sov('verify', '--deep');
	ok($status == 5 && $out =~ /provider nord/ && $out =~ /provider sud/, 'shards swapped between providers: both named') or diag("$status $out$err");
	rollback();
}
{
	my ($a) = at('nord', 'w');
	unlink $a;
	$t->sov_is('a shard removed: named', 5, qr/missing.*nord/, 'verify');
	restores('healed around');
	$t->sov_is('mended', 0, qr/1 mended/, 'repair');
	ok(-s $a, 'and is back');
	rollback();
}

# --- an old state put back at one provider ---
{
	my @heads = at('nord', 'h');
	spit($heads[-1], slurp($heads[0]));
	my ($status, $out, $err) = $t->sov('verify');
	ok("$out$err" =~ /nord/, 'an old head under a new name: the provider is named') or diag("$status $out$err");
	rollback();

	unlink $_ for grep { my $h = basename($_); $first_heads !~ /\b$h\b/ } @heads;
	($status, $out, $err) = $t->sov('list');
	ok($status == 0 && $err =~ /nord/, 'an old state at one provider: outvoted and named') or diag("$status $out$err");
	like($out, qr/second/, 'the newest backup is known');
	ok(-s $heads[-1], 'and the provider has the newest head again');
	rollback();

	unlink $_ for grep { my $h = basename($_); $first_heads !~ /\b$h\b/ } @heads;
	restores('restore with an old state at one provider');
	rollback();
}

# --- a foreign place under a provider's name does not stop the others ---
{
	my $d = "$dir/sud";
	spit("$d/id", 'not ours');
	unlink at('sud', 'k');
	$t->sov_is('a provider that cannot prove what it is: named, not used', 4, qr/provider sud is not used/, 'verify');
	is(slurp("$d/id"), 'not ours', 'and not written over');
	rollback();
}

# --- two of three gone ---
{
	rename("$dir/$_", "$dir/away_$_") or die for qw(ouest sud);
	my $before = stored();
	for my $what (['list'], ['verify'], ['repair'], ['apply'], ['restore', '-D', "$dir/none"])
	{
		my ($status, $out, $err) = $t->sov(@$what);
		ok($status == 4 && $err =~ /only 1 of 3 providers answer, and 2 are needed/ && $err =~ /ouest/ && $err =~ /sud/ && $err =~ /^hint: /m,
			"two providers gone: $what->[0] says so") or diag("$status $out$err");
	}
	ok(!-e "$dir/none" || !glob("$dir/none/*"), 'restore has written nothing');
	$t->start($data);
	$t->sov_is('two providers gone: backup says so', 4, qr/only 1 of 3 providers answer/, 'backup');
	my $segment = $t->sql('SELECT pg_walfile_name(pg_current_wal_lsn())');
	$t->sql("SELECT pg_switch_wal()");
	$t->sov_is('two providers gone: WAL is not acknowledged', 4, qr/hint/, 'wal-push', "$data/pg_wal/$segment");
	my ($status) = $t->sov('wal-fetch', '0000000100000000000000FF', "$dir/x");
	is($status, 126, 'wal-fetch does not take that for the end of WAL');
	$t->stop($data);
	is(stored(), $before, 'nothing was written to the one that is left');
	rename("$dir/away_$_", "$dir/$_") or die for qw(ouest sud);
	rollback();
}

# --- this host's own files: named, and what the hint says helps ---
{
	my ($segment) = map { basename($_) } sort glob("$data/pg_wal/0000000?????????????????");
	my %aside = ('writer.key' => [qw(writer.key head)], head => ['head'], admin => ['admin']);
	for my $file (sort keys %aside)
	{
		flip_byte("$dir/state/$file", 0.5);
		for my $what (['list'], ['verify'], ['restore', '-D', "$dir/none"], ['wal-push', "$data/pg_wal/$segment"])
		{
			my ($status, undef, $err) = $t->sov(@$what);
			ok($status ne '0' && $err =~ m{\Q$dir/state/$file\E: sealed data do not open} && $err =~ /^hint: .*move it /m, "$file, damaged: $what->[0] names it") or diag("$status $err");
		}
		run_as('rm', map { "$dir/state/$_" } @{ $aside{$file} });
		$t->sov_ok('list');
		$t->sov_ok('wal-push', "$data/pg_wal/$segment") if $file eq 'writer.key';
		rollback();
	}
}

# --- the root key: another one, none, one that everybody reads ---
{
	my $key = "$dir/root.key";
	my $good = slurp($key);
	$t->start($data);
	$t->archived or die 'WAL is not archived';
	my $before = stored();
	my $answers = sub {
		my ($name, $re) = @_;
		for my $what (['list'], ['verify'], ['backup'], ['restore', '-D', "$dir/none"])
		{
			$t->sov_is("$name: $what->[0]", 3, $re, @$what);
		}
		my ($status) = $t->sov('wal-fetch', '000000010000000000000001', "$dir/x");
		is($status, 126, "$name: wal-fetch stops recovery");
		ok(!-e "$dir/none" || !glob("$dir/none/*"), "$name: nothing is restored");
	};
	unlink $key;
	$answers->('no root key', qr/\Q$key\E" does not exist/);
	$t->sov_ok('key', 'create-root');
	$answers->('another root key', qr/root/);
	chmod 0600, $key;
	spit($key, $good);
	chmod 0644, $key;
	$answers->('a root key that everybody reads', qr/may be read or written by others \(mode 0644\)/);
	chmod 0600, $key;
	$t->stop($data);
	is(stored(), $before, 'the providers hold what they held');
	$t->sov_is('and with the right key all is well', 0, qr/0 missing/, 'verify');
}

# --- restore into a directory that is not empty ---
{
	my $d = "$dir/used";
	run_as('mkdir', $d);
	spit("$d/precious", 'x');
	$t->sov_is('restore into a directory that is not empty', 6, qr/not empty/, 'restore', '-D', $d);
	is(join(' ', map { basename($_) } glob("$d/*")), 'precious', 'it is left as it was');
	$t->sov_is('restore over the cluster itself', 6, qr/not empty/, 'restore', '-D', $data);
}

# --- kill -9 in the middle of a backup ---
{
	$t->start($data);
	my $killed = 0;
	for my $wait (0.5, 1.5, 3)
	{
		$killed += $t->sov_killed($wait, 'backup', '--max-rate', '4MB', '--label', 'killed');
	}
	is($killed, 3, 'three backups were killed while they ran');
	unlike($t->sov_ok('list'), qr/killed/, 'they are not in the list');
	$t->sov_is('the next backup succeeds', 0, qr/^backup /, 'backup', '--label', 'third');
	like($t->sov_ok('list'), qr/first.*second.*third/s, 'and nothing committed is lost');
	$t->sov_is('nothing is damaged', 0, qr/0 missing, 0 damaged, 0 lost/, 'verify', '--deep');
	$t->archive or die 'WAL is not archived';
	$t->stop($data);
	restores('restore after killed backups');
}

# --- kill -9 in the middle of apply ---
{
	snapshot();
	run_as('mkdir', '-m', '700', "$dir/est");
	$t->configure(qw(nord ouest est));
	my $killed = 0;
	for my $wait (0.02, 0.04, 0.08, 0.12, 0.16, 0.2, 0.25, 0.3)
	{
		$t->sov_killed($wait, 'apply') or last;
		$killed++;
		my ($s, $o, $e) = $t->sov('list');
		ok($s == 0 && $o =~ /first.*second.*third/s, "apply killed after $wait s: every backup is still known") or diag("$s $o$e");
	}
	cmp_ok($killed, '>=', 2, 'apply was killed in the middle');
	$t->sov_is('the next apply goes on to the end', 0, qr/./, 'apply');
	$t->sov_is('and all is whole', 0, qr/0 missing, 0 damaged, 0 lost/, 'verify', '--deep');
	rename("$dir/nord", "$dir/away_nord") or die;
	restores('restore from the new provider and one old one');
	rename("$dir/away_nord", "$dir/nord") or die;
	$t->configure(@providers);
	rollback();
}

# --- a provider is left without being read, while another lacks what it has ---
{
	my ($pack) = oldest_first('ouest', 'p');
	unlink $pack or die;
	run_as('rm', '-rf', "$dir/est");
	run_as('mkdir', '-m', '700', "$dir/est");
	$t->configure(qw(ouest sud est));
	$t->sov_is('a provider is not given up that has the shard which saves a backup', 4, qr/could not be restored without provider "nord".*hint: put its section back.*--accept-loss/s, 'apply');
	$t->configure(qw(nord ouest sud est));
	spit($t->conf, slurp($t->conf) =~ s/shards = 4/shards = 3/r =~ s/(\[provider\.nord\]\n)/$1state = drain\n/r);
	$t->sov_is('with its section back it is left', 0, qr/provider est took the place of provider nord/, 'apply');
	$t->sov_is('and nothing is lost', 5, qr/1 missing, 0 damaged, 0 lost.*3 of 3 backups can be restored/s, 'verify');
	my %lacks = ('WAL after the backups' => sub { unlink((oldest_first('ouest', 'w'))[-2]) or die },
		'a byte that no header shows' => sub { flip_byte($pack, 0.9) });
	for my $what (sort keys %lacks)
	{
		rollback();
		$lacks{$what}->();
		run_as('rm', '-rf', "$dir/est");
		run_as('mkdir', '-m', '700', "$dir/est");
		$t->configure(qw(ouest sud est));
		$t->sov_is("nor where another lacks $what", 4, qr/could not be restored without provider "nord".*--accept-loss/s, 'apply');
	}
	rollback();
	$t->configure(qw(ouest sud est));
	unlink $pack or die;
	run_as('rm', '-rf', "$dir/est");
	run_as('mkdir', '-m', '700', "$dir/est");
	$t->sov_is('or the loss is accepted', 0, qr/provider est took the place of provider nord/, 'apply', '--accept-loss');
	$t->configure(@providers);
	rollback();
}

# --- mistakes in the configuration: file, line, what to do ---
{
	my $mistake = sub {
		my ($name, $re, $edit) = @_;
		$t->configure(@providers);
		spit($t->conf, $edit->(slurp($t->conf)));
		my ($status, $out, $err) = $t->sov('list');
		my ($line) = $err =~ /\Q@{[$t->conf]}\E:(\d+): /;
		ok($status == 2 && $err =~ $re && $err =~ /^hint: \S/m && $err =~ /error: \Q@{[$t->conf]}\E:?\d*/, "configuration: $name")
		  or diag("$status $out$err");
	};
	$mistake->('unknown name', qr/:7: unknown name "shrads".*did you mean "shards"/s, sub { $_[0] =~ s/shards =/shrads =/r });
	$mistake->('unknown section', qr/:\d+: unknown section \[repositori\]/, sub { $_[0] =~ s/\[repository\]/[repositori]/r });
	$mistake->('a value twice', qr/:7: .*line 6/, sub { $_[0] =~ s/(needed = 2\n)/$1$1/r });
	$mistake->('not a number', qr/:6: /, sub { $_[0] =~ s/needed = 2/needed = two/r });
	$mistake->('needed more than shards', qr/needed/, sub { $_[0] =~ s/needed = 2/needed = 4/r });
	$mistake->('more shards than providers', qr/shards/, sub { $_[0] =~ s/shards = 3/shards = 4/r });
	$mistake->('unknown type', qr/:\d+: .*type "floppy"/, sub { $_[0] =~ s/type = folder/type = floppy/r });
	$mistake->('relative path', qr/:\d+: /, sub { $_[0] =~ s{path = /}{path = }r });
	$mistake->('two providers in one place', qr/:\d+: /, sub { $_[0] =~ s{/sud\n}{/nord\n}r });
	$mistake->('one provider twice', qr/:\d+: /, sub { $_[0] =~ s/\[provider\.sud\]/[provider.nord]/r });
	$mistake->('no custody', qr/custody|root/, sub { $_[0] =~ s/\[custody\]\nroot = [^\n]*\n//r });
	$mistake->('unknown custodian', qr/:\d+: /, sub { $_[0] =~ s/root = file:/root = paper:/r });
	$mistake->('unknown state', qr/:\d+: /, sub { $_[0] =~ s/(type = folder\n)/$1state = sleepy\n/r });
	$mistake->('provider inside the data directory', qr/:\d+: /, sub { my $d = $data; $_[0] =~ s{path = \S*sud}{path = $d/sud}r });
	$mistake->('text without a value', qr/:\d+: /, sub { $_[0] =~ s/needed = 2/needed/r });
	$t->configure(@providers);
	$t->sov_is('and without mistakes it is read', 0, qr/first/, 'list');
}

done_testing();
