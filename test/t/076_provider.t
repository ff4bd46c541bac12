# What is known of providers: list, show and probe; a provider that lies is found out, one
# that the policy bars is not written to, plan tells how long a move takes.
use strict;
use warnings;
use JSON::PP;
use Test::More;
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

# --- the policy ---
spit($t->conf, slurp($t->conf) . "[policy]\njurisdiction = EEA\n");
spit($t->conf, slurp($t->conf) =~ s/(\[custody\]\n)/$1operator = The Hospital\n/r);
my $before = join(' ', SovTest::objects("$d/c", 'c'));
$t->sov_is('what the policy bars is not probed', 2, qr/a probe writes: what the policy bars is not probed/, 'provider', 'probe', 'c');
like($t->sov_ok('provider', 'list'), qr/^b .* (satisfied|breaks a rule) .*^c .* barred /ms, 'and list says so');
done_testing();
