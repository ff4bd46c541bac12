# A repository goes on over pg_upgrade: the new cluster is refused until 'upgrade' was run,
# then both are in it side by side.  From the server to itself, which makes another
# identity, timeline 1 and positions that the old cluster goes on to use as well;
# test/upgrade/pg_upgrade.t does it from one version to another.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Test::More;
use Time::HiRes qw(sleep);
use SovTest;

plan skip_all => SovTest::unable() if SovTest::unable();

my $t = SovTest->new;
my ($d, $bin) = ($t->dir, $t->{bindir});
$t->sov_ok('init');
my $data = $t->start_new;
is(($t->sov('upgrade'))[1], "the repository has no backup and no WAL of any cluster yet: there is nothing to do\n", 'an empty repository takes any cluster');
$t->sql("CREATE TABLE big AS SELECT i, md5(i::text) AS m FROM generate_series(1, 60000) i; CREATE TABLE story (what text); INSERT INTO story VALUES ('old')");
my $stored = ($t->sov_ok('backup', '--json') =~ /"stored": (\d+)/)[0];
$t->sql("INSERT INTO story VALUES ('old, after its backup')");
ok($t->archive, 'the old cluster');
is(($t->sov('upgrade'))[1], "the repository goes on with this cluster already: there is nothing to do\n", 'upgrade has nothing to do');
my $old_id = $t->sql('SELECT system_identifier FROM pg_control_system()');
my $old_story = $t->sql('SELECT string_agg(what, $$;$$ ORDER BY what) FROM story');
$t->stop($data, 'fast');

# --- pg_upgrade ---
rename $data, "$d/old" or die;
run_as("$bin/initdb", '-D', $data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C.UTF-8', '--no-sync', '--data-checksums');
my $conf = slurp("$d/old/postgresql.conf");
spit("$d/old/postgresql.conf", $conf =~ s/^(archive_|sovereign\.).*\n//mgr);
run_as('mkdir', "$d/run");
my ($s, $o, $e) = capture(as('sh', '-c', "cd '$d/run' && exec '$bin/pg_upgrade' -b '$bin' -B '$bin' -d '$d/old' -D '$data' -U postgres -p $t->{port} -P " . SovTest::free_port() . " -s '$d' --no-sync"));
is($s, 0, 'pg_upgrade') or diag "$o$e";
spit("$d/old/postgresql.conf", $conf);
spit("$data/postgresql.conf", $conf);
$t->start($data);

# --- refused, until one explicit step ---
$t->sql("INSERT INTO story VALUES ('new'); SELECT pg_switch_wal()");
ok($t->wait_log("$data.log", qr/belongs to the cluster with system identifier $old_id.*run 'pg_sovereign upgrade'/s), 'its WAL is refused, and what to do is said');
($s, $o, $e) = $t->sov('backup');
is($s, 6, 'so is a backup');
like($e, qr/run 'pg_sovereign upgrade'/, 'with the same advice');
like(($t->sov('check'))[1], qr/cluster \d+: this repository belongs to the cluster/, 'and by check');
$o = $t->sov_ok('upgrade');
like($o, qr/goes on with cluster \d+, PostgreSQL (\d+)\n  what it has of cluster $old_id stays, and is restored with the programs of PostgreSQL \1\n/, 'upgrade');
$t->sql('CREATE TABLE later ()');
ok($t->archive, 'from then on WAL is archived');
like($t->sov_ok('audit', 'export'), qr/cluster \d+ in the place of $old_id/, 'it is on record');
my $again = ($t->sov_ok('backup', '--json') =~ /"stored": (\d+)/)[0];
ok($again < $stored / 2, "what the upgrade left as it was is not stored again ($again of $stored bytes)");
$t->sql("INSERT INTO story VALUES ('new, after its backup')");
ok($t->archive, 'and the new cluster goes on');
my $new_story = $t->sql('SELECT string_agg(what, $$;$$ ORDER BY what) FROM story');
unlike($t->sov_ok('list'), qr/unknown/, 'list');
my $list = $t->sov_ok('list', '--json');
my @ids = $list =~ /"backup": "([^"]+)"/g;
is(scalar @ids, 2, 'both backups are listed');
like($list, qr/"cluster": "$old_id",\s*"former_cluster": true/, 'whose they are, too');
like($t->sov_ok('list'), qr/^$ids[0] .*\(PostgreSQL \d+, before the upgrade\)$/m, 'and which version the old one needs');
like($t->sov_ok('verify'), qr/0 missing/, 'nothing is missing');
$t->sql('CREATE EXTENSION pg_sovereign');
is($t->sql("SELECT string_agg(concat_ws(' ', cluster = $old_id, former_cluster, timeline, from_backup, to_lsn > from_lsn), ', ' ORDER BY former_cluster DESC) FROM wal_ranges"),
	"t t 1 $ids[0] t, f f 1 $ids[1] t", 'the view of WAL has the former cluster beside the new one');
is($t->sql('SELECT count(*) FROM wal_ranges WHERE cluster = (SELECT system_identifier FROM pg_control_system()) AND NOT former_cluster'), '1', 'by the name that the server has for it');
$t->sql('DROP EXTENSION pg_sovereign');
$t->stop($data, 'fast');

# --- both are restored, each with its own WAL ---
for ([$ids[0], $old_story, 'old'], [$ids[1], $new_story, 'new'])
{
	my ($id, $story, $which) = @$_;
	$o = $t->sov_ok('restore', '-D', "$d/r$which", '--backup', $id);
	is($o =~ /of the cluster before the upgrade: it needs the programs of PostgreSQL \d+/ ? 'old' : 'new', $which, "the $which cluster is restored");
	$t->start("$d/r$which");
	is($t->sql('SELECT string_agg(what, $$;$$ ORDER BY what) FROM story'), $story, 'to the end of its own WAL');
	if ($which eq 'old')
	{
		$t->sql("SELECT pg_switch_wal()");
		ok($t->wait_log("$d/rold.log", qr/cluster with system identifier $old_id was left/), 'it can archive here no more');
	}
	$t->stop("$d/r$which", 'fast');
}

# --- the way back, over the same names of WAL ---
my $there = sub { return join(' ', sort map { slurp("$d/$_/id") ? scalar SovTest::objects("$d/$_", 'w') : 0 } qw(a b c)); };
my $before = $there->();
rename $data, "$d/new" or die;
rename "$d/old", $data or die;
rename "$data/global/pg_control.old", "$data/global/pg_control" if -e "$data/global/pg_control.old";
$t->start($data);
$t->sov_ok('upgrade');
$t->sql("INSERT INTO story VALUES ('old again')");
ok($t->archive, 'the old cluster goes on');
isnt($there->(), $before, 'under names of its own');
like($t->sov_ok('backup'), qr/^backup /m, 'with a backup');
$t->sov_ok('restore', '-D', "$d/back");
$t->stop($data, 'fast');
$t->start("$d/back");
is($t->sql('SELECT string_agg(what, $$;$$ ORDER BY what) FROM story'), "old;old again;old, after its backup", 'which is restored');
$t->stop("$d/back", 'fast');

# --- what is not needed any more goes, of both ---
$t->sov_ok('prune', '--keep-last', '1');
my $pruned = $t->sov_ok('list', '--json');
is(scalar(() = $pruned =~ /"backup": /g), 1, 'the rules count backups of all clusters');
like($t->sov_ok('verify'), qr/0 missing/, 'and nothing is missing');
done_testing();
