# What is known of providers: list, show and probe; a provider that lies is found out, one
# that the policy bars is not written to, plan tells how long a move takes.
use strict;
use warnings;
use JSON::PP;
use Test::More;
use SovStore;
use SovTest;

plan skip_all => SovTest::unable() if SovTest::unable();

my $t = SovTest->new;
my $d = $t->dir;
my $text = slurp($t->conf);
$text =~ s{(\[provider\.b\].*?)(\[provider\.c\])}{$1operator = Example Hosting\nparent = Example "SA"\nseat = FR\nlocation = FR\n$2}s;
spit($t->conf, $text);

# --- list and show ---
my $list = $t->sov_ok('provider', 'list');
like($list, qr/^a +folder +unknown +unknown .*no policy +never$/m, 'what nobody said is unknown');
like($list, qr/^b +folder +Example Hosting +Example "SA" +FR\/FR +no policy +never$/m, 'what the configuration says is listed');
unlike($list, qr/^scaleway/m, 'the catalogue is not');
like($t->sov_ok('provider', 'list', '--all'), qr/^scaleway .*\(catalogue\)/m, 'but with --all');
my $doc = decode_json($t->sov_ok('provider', 'list', '--all', '--json'));
is(join(' ', map { $_->{provider} } @{ $doc->{providers} }), 'a b c', 'as JSON too');
is($doc->{providers}[1]{claims}{parent}{value}, 'Example "SA"', 'quotes and all');
cmp_ok(scalar(@{ $doc->{catalogue} }), '>', 20, 'with the catalogue');
is(scalar(grep { my $c = $_->{claims}; grep { defined $c->{$_}{value} && !defined $c->{$_}{source} } keys %$c } @{ $doc->{catalogue} }), 0, 'each claim of it has its source');
like($t->sov_ok('provider', 'show', 'scaleway'), qr/^  parent +Iliad\n +\(.*read 20\d\d-\d\d/m, 'show of the catalogue: claim, source, date');
$t->sov_is('a name that nobody knows', 1, qr/provider list --all/, 'provider', 'show', 'nobody');
$t->sov_is('a word that is none', 2, qr/list.*show.*probe/, 'provider', 'frob');

# --- probe ---
my $probe = $t->sov_ok('provider', 'probe', 'a');
like($probe, qr/^  $_ +good /m, "probe: $_") for ('put and get', 'overwrite', 'ranges', 'absent objects', 'remove', 'lists', 'put if absent', 'speed');
is(join(' ', SovTest::objects("$d/a", 'c')), '', 'it leaves nothing behind');
like($t->sov_ok('provider', 'list'), qr/^a .*20\d\d-\d\d-\d\d, good$/m, 'list knows of it');
like($t->sov_ok('provider', 'show', 'a'), qr/^probed 20.*^  lists +good/ms, 'so does show');
ok(decode_json($t->sov_ok('provider', 'probe', 'b', '--json'))->[0]{probe}{put_rate} > 0, 'as JSON too');
SKIP:
{
	spit("$d/faults", "c get flip\n");
	local $ENV{PG_SOVEREIGN_FAULTS} = "$d/faults";
	my ($status, $out, $err) = $t->sov('provider', 'probe', 'c');
	is($status, 4, 'a provider that gives other bytes than it took') or diag "$out$err";
	like($out, qr/^  put and get +bad +what was read back is not what was put$/m, 'is found out') or diag "$out$err";
}
like($t->sov_ok('provider', 'list'), qr/^c .*, BAD$/m, 'and remembered');
rename "$d/c", "$d/c.away";
$t->sov_is('one that is away', 4, qr/provider c: /, 'provider', 'probe', 'c');
rename "$d/c.away", "$d/c";

# --- plan knows how long ---
$t->sov_ok('init');
my $data = $t->start_new(conf => "fsync = off\n");
$t->sql("CREATE TABLE t AS SELECT g AS i, md5(g::text) AS m FROM generate_series(1, 50000) g");
$t->sov_ok('backup');
SovTest::run_as('mkdir', "$d/new");
spit($t->conf, slurp($t->conf) =~ s{\[provider\.a\]}{[provider.a]\nstate = drain}r . "[provider.new]\ntype = folder\npath = $d/new\n");
like($t->sov_ok('plan'), qr/not known: 'pg_sovereign provider probe new' measures/, 'before a probe plan says what it does not know');
$t->sov_ok('provider', 'probe', 'new');
like($t->sov_ok('plan'), qr/^about \d+ s at the rates of the last probes$/m, 'and then how long');
like(decode_json($t->sov_ok('plan', '--json'))->{estimated_seconds}, qr/^[\d.e-]+$/, 'as JSON too');

# --- presets: what a command on keys, or a view, wants of a provider it may have to know from the catalogue ---
spit("$d/own.ini", "[source.me]\ndescription = my own\nread-on = 2026-11\nconfidence = official\n[vendor.disk]\ntype = folder \@me\n");
my $was = slurp($t->conf);
spit($t->conf, $was =~ s{^type = folder\n}{preset = disk\n}mgr =~ s{^(\[repository\])}{$1\ncatalogue = $d/own.ini}mr);
$t->sql("CREATE EXTENSION pg_sovereign; SELECT create_key('k'); CREATE TABLE p (id text, n text); INSERT INTO p VALUES ('1', 'x'), ('2', 'y')");
is($t->sql("SELECT string_agg(concat_ws(' ', name, type, location = '$d/' || name), ', ' ORDER BY name) FROM providers"), 'a folder t, b folder t, c folder t, new folder t', 'the view knows type and place');
unlike(join('', ($t->sov('key', 'where'))[1, 2]), qr/could not be asked|does not answer/, 'key where asks the repository');
$t->sql($_) for "CALL encrypt_column('p', 'n', key => 'k', subject => 'id')", "CALL shred_subject('k', '1')";
is($t->sql('SELECT state FROM erasures'), 'complete', 'an erasure goes to its end, at the providers too');
$t->sov_ok('key', 'create-root', "$d/new.key");
$_ = s{^(root = (.*))}{$1\nepochs = $2}mr for $was, my $with = slurp($t->conf);
spit($t->conf, $with);
$t->sov_ok('key', 'rotate-root', "file:$d/new.key");
spit($t->conf, ($was = $was =~ s{^root = .*}{root = file:$d/new.key}mr));
$t->sov_ok('list');

# --- where it is ---
{
	my $store = SovStore->new($d, 'far');
	spit("$d/cred", "access-key = a\nsecret-key = secretsecret\n");
	chmod 0600, "$d/cred";
	system('chown', 'postgres', "$d/cred") if $> == 0;
	spit($t->conf, "$was\n" . $store->section("$d/cred") . "prefix = x/y\nstate = drain\n");
	my ($place) = $t->sql("SELECT location FROM providers WHERE name = 'far'");
	like($place, qr{^http://127\.0\.0\.1:\d+/b/x/y$}, 'a provider of the network has its place in the view');
	like($t->sov_ok('list', '--json'), qr/"location": "\Q$place\E"/, 'and in the list');
	spit($t->conf, $was);
}

# --- one that is away is what it was, but for that ---
$t->sov_ok('verify', '--deep');
rename "$d/b", "$d/b.away";
$t->sov('list');
is($t->sql("SELECT concat_ws(' ', state, last_proven > now() - interval '1 hour', proven_shards > 0) FROM providers WHERE name = 'b'"), 'down t t', 'when it was proven is known while it is away');
like($t->sov_ok('list'), qr/^b +down +today/m, 'list says so too');
$t->sov('backup');
$t->sov('list');
cmp_ok($t->sql("SELECT min(owed_objects) FROM redundancy WHERE class IN ('pack', 'metadata', 'head')"), '>', 0, 'and what it is owed is counted by class');
rename "$d/b.away", "$d/b";
$t->sov_ok('repair', '--quick');

# --- the policy ---
spit($t->conf, slurp($t->conf) . "[policy]\njurisdiction = EEA\n");
spit($t->conf, slurp($t->conf) =~ s/(\[custody\]\n)/$1operator = The Hospital\n/r);
my $before = join(' ', SovTest::objects("$d/c", 'c'));
$t->sov_is('what the policy bars is not probed', 2, qr/a probe writes: what the policy bars is not probed/, 'provider', 'probe', 'c');
like($t->sov_ok('provider', 'list'), qr/^b .* (satisfied|breaks a rule) .*^c .* barred /ms, 'and list says so');
done_testing();
