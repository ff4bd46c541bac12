# A write-only host: it seals to a public key, stays incremental, and with everything that
# it holds, and all that lies at all providers, reads no page and no WAL.  The content
# custodian's key, on another host, restores the latest state.
use strict;
use warnings;
use Test::More;
use SovTest;

plan skip_all => SovTest::unable() if SovTest::unable();

my $t = SovTest->new;
my $d = $t->dir;
my $word = 'Wiedehopf';			# nowhere but in the table and in WAL
my $plain = slurp($t->conf);

# The database host's configuration, and that of one that restores.
my $host = $plain =~ s/^\[repository\]\n/[repository]\nhost = write-only\n/mr;
my $content = "content = file:$d/content.key\n";
my $reader = $plain =~ s/^\[custody\]\n/[custody]\n$content/mr =~ s{/state$}{/reader}mr;

# --- made once, where the content custodian is reached ---
spit($t->conf, $host);
$t->sov_is('no pair without a content custodian', 2, qr/no content custodian is named/, 'init');
spit($t->conf, $host =~ s/^\[custody\]\n/[custody]\ncontent = file:$d\/root.key\n/mr);
$t->sov_is('one root key for both is refused', 2, qr/one and the same/, 'init');
spit($t->conf, $host =~ s/^\[custody\]\n/[custody]\n$content/mr);
$t->sov_is('nor is one made that cannot be kept', 3, qr/content\.key/, 'init');
run_as(SovTest::command(), 'key', 'create-root', "$d/content.key");
$t->sov_is('the pair is made', 0, qr/sealed to a public key.*take the line "content" out/s, 'init');
$t->sov_is('a host that still names the custodian is told so', 6, qr/FAIL  host = write-only, but line \d+ of \S+ names the custodian/, 'check', '--no-archive');
spit($t->conf, $host);
rename("$d/content.key", "$d/content.away") or die;

# --- the host works without it ---
my $data = $t->start_new(conf => "fsync = off\nautovacuum = off\nfull_page_writes = off\nwal_compression = off\n");
$t->sov_is('check is content', 0, qr/ok    write-only host: it has no key to what it stores/, 'check');
$t->sql("CREATE TABLE t AS SELECT i, md5(i::text) AS m FROM generate_series(1, 200000) i");
$t->sql("INSERT INTO t VALUES (0, '$word of the first backup')");
$t->sql('VACUUM (FREEZE) t');
$t->sql('CHECKPOINT');
my ($first) = $t->sov_ok('backup', '--json') =~ /"stored": (\d+)/;
$t->sql("UPDATE t SET m = '$word of the second backup' WHERE i = 100000");
$t->sql('CHECKPOINT');
my ($second) = $t->sov_ok('backup', '--json') =~ /"stored": (\d+)/;
cmp_ok($second, '<', $first / 4, "the second backup is incremental: $second of $first bytes");
$t->sql("INSERT INTO t VALUES (-1, '$word of WAL alone')");
ok($t->archive, 'WAL is archived');
my $segment = $t->sql('SELECT last_archived_wal FROM pg_stat_archiver');
$t->sov_is('and again: the same content is told without opening it', 0, qr//, 'wal-push', "$data/pg_wal/$segment") if -e "$data/pg_wal/$segment";
is(scalar(my @l = $t->sov_ok('list') =~ /^20\S+/mg), 2, 'list');
$t->sov_is('verify', 0, qr/0 missing, 0 damaged, 0 lost.*2 of 2 backups/s, 'verify');
$t->sov_is('verify --deep checks every stored byte by its tags', 0, qr/0 missing, 0 damaged, 0 lost.*2 of 2 backups/s, 'verify', '--deep');
unlink((objects("$d/b", $_))[0]) or die for qw(p r w m);
$t->sov_is('repair rebuilds a pack, a share, WAL and metadata', 0, qr/repaired|4 missing/, 'repair');
$t->sov_is('and nothing is missing', 0, qr/0 missing, 0 damaged/, 'verify', '--deep');
{
	# c is gone for good: its shards are rebuilt at d, sealed secrets of runs with them
	run_as('mkdir', '-m', '700', "$d/d");
	s{\[provider\.c\]\ntype = folder\npath = \Q$d\E/c}{[provider.d]\ntype = folder\npath = $d/d} for $host, $plain, $reader;
	system('rm', '-rf', "$d/c");
	spit($t->conf, $host);
	$t->sov_is('apply rebuilds what a lost provider had', 0, qr/d/, 'apply');
	$t->sov_is('all of it', 0, qr/0 missing, 0 damaged, 0 lost.*2 of 2 backups/s, 'verify', '--deep');
	ok(scalar(objects("$d/d", 'r')), 'shares of runs too');
}
$t->sov_is('key where tells who opens what', 0, qr/key of content under root key.*only the root key of content opens it/s, 'key', 'where');
$t->sov_is('the report too', 0, qr/sealed to a public key: this server cannot read back/, 'report', '--html', '-');
$t->sov_is('key show too', 0, qr/host = write-only/, 'key', 'show');
$t->sov_is('prune', 0, qr/removed \d+ packs/, 'prune', '--keep-last', '1', '--grace', '0');

# --- and reads nothing back ---
my $clear = qr/this host is write-only .*private content key alone, which is with file \S+content\.key.*hint: .*"content"/s;
$t->sov_is('restore says what is missing', 3, $clear, 'restore', '-D', "$d/r");
ok(!-e "$d/r", 'and makes nothing at the target');
$t->sov_is('wal-fetch stops recovery', 126, $clear, 'wal-fetch', $segment, "$d/segment");
ok(!-e "$d/segment", 'without a file');
$t->sov_is('drill', 3, $clear, 'drill', '--scratch', $d);
spit($t->conf, $plain);
$t->sov_is('without the line "host" too', 3, qr/private content key alone.*names no content custodian.*hint: /s, 'restore', '-D', "$d/r");
spit($t->conf, $plain =~ s/^\[custody\]\n/[custody]\ncontent = file:$d\/other.key\n/mr);
run_as(SovTest::command(), 'key', 'create-root', "$d/other.key");
$t->sov_is('with another content key', 3, qr/content is under root key .*the configured one is/s, 'restore', '-D', "$d/r");

# --- what lies anywhere but in the cluster (test/unit/write_only.c tries the keys) ---
is(`grep -rlaF '$word' $d/state $d/a $d/b $d/d $d/root.key`, '', 'the word stands in no file of the host or of a provider');

# --- the other host ---
rename("$d/content.away", "$d/content.key") or die;
$t->stop($data, 'fast');
run_as('mv', $data, "$d/former");
spit($t->conf, $reader);
$t->sov_is('check there: no server yet, but it may read', 6, qr/ok    content custodian: the private content key opens/, 'check', '--no-archive');
$t->sov_ok('restore', '-D', $data);
$t->start($data);
is($t->sql("SELECT string_agg(m, ',' ORDER BY i) FROM t WHERE m LIKE '$word%'"), "$word of WAL alone,$word of the first backup,$word of the second backup",
	'restored to the latest state, WAL replayed');
is($t->sql("SELECT count(*) FROM t WHERE m = md5(i::text)"), '199999', 'and all else is as it was');
$t->stop($data, 'fast');

# --- a repository that was made without a pair ---
$t = SovTest->new;
$d = $t->dir;
$plain = slurp($t->conf);
run_as(SovTest::command(), 'key', 'create-root', "$d/content.key");
$t->sov_ok('init');
$data = $t->start_new(conf => "fsync = off\nautovacuum = off\nfull_page_writes = off\n");
$t->sql("CREATE TABLE t AS SELECT i, md5(i::text) AS m FROM generate_series(1, 200000) i");
$t->sql('VACUUM (FREEZE) t');
$t->sov_ok('backup');
($first) = $t->sov_ok('backup', '--full', '--json') =~ /"stored": (\d+)/;
$t->archive;
my $early = $t->sql('SELECT last_archived_wal FROM pg_stat_archiver');
my @before = map { objects("$d/$_", 'k') } qw(a b c);
my $ring = slurp($before[0]);
spit($t->conf, $plain =~ s/^\[repository\]\n/[repository]\nhost = write-only\n/mr);
$t->sov_is('check tells that the root key opens the content key', 6, qr/FAIL  host = write-only, but the root key of this host opens the content key.*hint: .*key write-only/s, 'check', '--no-archive');
$t->sov_is('nor does the report claim it', 0, qr/"write_only": false/, 'report', '--json');
$t->sov_is('nothing is written then', 6, qr/not sealed to a public key/, 'backup');
$t->sov_is('a content custodian must be named', 2, qr/no content custodian is named/, 'key', 'write-only');
spit($t->conf, $plain =~ s/^\[custody\]\n/[custody]\ncontent = file:$d\/content.key\n/mr);
for my $seconds (0.05, 0.15, 0.3)
{
	$t->sov_killed($seconds, 'key', 'write-only');
	is(scalar(my @l = $t->sov_ok('list') =~ /^20\S+/mg), 2, "killed after $seconds s: both backups are listed");
}
$t->sov_is('the repository is sealed', 0, qr/sealed to a public key: what is stored from now on, and the former content key of 2 backups|nothing was left/, 'key', 'write-only');
$t->sov_is('again: nothing is left to do', 0, qr/nothing was left to do/, 'key', 'write-only');
$t->sql("SELECT pg_create_restore_point('once')");
$t->archive;					# the helper has read this configuration
$t->sov_is('a new pair, while the archiver works', 0, qr/a new pair/, 'key', 'rotate-content');
for (1 .. 20)
{
	$t->sql("SELECT pg_create_restore_point('again')");
	$t->archive;
	last if slurp("$data.log") =~ /the keyring has changed and is read again/;
	sleep 1;
}
like(slurp("$data.log"), qr/the keyring has changed and is read again/, 'the archiver takes the new public key by itself');
$t->sov_ok('repair');			# what was being put when it was killed
my @after = map { objects("$d/$_", 'k') } qw(a b c);
ok(@after == 3 && !grep({ my $k = $_; grep { $_ eq $k } @before } @after), 'no former keyring is at a provider');
rename("$d/content.key", "$d/content.away") or die;
spit($t->conf, $plain =~ s/^\[repository\]\n/[repository]\nhost = write-only\n/mr);
$t->sov_is('check is content, the archiver works on', 0, qr/ok    write-only host/, 'check');
is(scalar(@l = $t->sov_ok('list') =~ /^20\S+/mg), 2, 'the host lists the former backups');
$t->sql("UPDATE t SET m = '$word' WHERE i = 7");
$t->sql('CHECKPOINT');
($second) = $t->sov_ok('backup', '--json') =~ /"stored": (\d+)/;
cmp_ok($second, '<', $first / 4, "the next one is incremental to them: $second of $first bytes");
$t->sov_is('verify', 0, qr/0 missing, 0 damaged, 0 lost.*3 of 3 backups/s, 'verify');
$t->sov_is('what was stored before is not read either', 126, qr/this host is write-only/, 'wal-fetch', $early, "$d/segment");
$t->sov_is('prune', 0, qr/removed [1-9]\d* packs/, 'prune', '--keep-last', '1', '--grace', '0', '--orphan-grace', '0');
$t->archive;
$t->sov_is('rotate-root leaves the content custodian alone', 0, qr/both root keys/, 'key', 'rotate-root', "file:$d/new.key") if SovTest::run_as(SovTest::command(), 'key', 'create-root', "$d/new.key");
$t->root_is("file:$d/new.key");
$t->sov_is('a new pair needs the content custodian', 2, qr/no content custodian is named/, 'key', 'rotate-content');
$t->sov_is('and ends without it', 0, qr/but that of the content custodian/, 'key', 'rotate-root', '--finish');
$t->stop($data, 'fast');
run_as('mv', $data, "$d/former");
rename("$d/content.away", "$d/content.key") or die;
spit($t->conf, slurp($t->conf) =~ s/^host = write-only\n//mr =~ s/^\[custody\]\n/[custody]\ncontent = file:$d\/content.key\n/mr);
my $next = $t->hsm('content') // "file:$d/next.key";
$t->sov_ok('key', 'create-root', $next =~ s/^file://r);
$t->sov_is('a new pair, with another custodian', 0, qr/a new pair of content keys.*content = \Q$next\E/s, 'key', 'rotate-content', $next);
$t->sov_is('which the former one does not open', 3, qr/content is under root key/, 'restore', '-D', $data);
spit($t->conf, slurp($t->conf) =~ s/^content = .*/content = $next/mr);
$t->sov_ok('restore', '-D', $data);
$t->start($data);
is($t->sql("SELECT count(*) FILTER (WHERE m = '$word'), count(*) FROM t"), '1|200000', 'restored, from parts of before and after');
$t->stop($data, 'fast');
done_testing();
