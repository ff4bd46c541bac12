# The report: its facts are those of the repository, in JSON and on the page, in both
# languages; what is hostile in names is escaped; what is not known is said.
use strict;
use warnings;
use JSON::PP;
use Test::More;
use SovTest;

plan skip_all => SovTest::unable() if SovTest::unable();

my $t = SovTest->new;
my $d = $t->dir;
my $evil = '<script>alert("x")</script> & \'Co\'';
my $text = slurp($t->conf);
$text =~ s{(\[provider\.a\].*?)(\[provider\.b\])}{$1operator = $evil\nparent = Big Parent\nseat = US\nlocation = FR\njurisdictions = none-found\n$2}s;
$text =~ s{(\[provider\.b\].*?)(\[provider\.c\])}{$1operator = Example\nparent = Big Parent\nseat = FR\nlocation = FR\njurisdictions = US\n$2}s;
spit($t->conf, $text);
sub doc { my ($s, $o, $e) = $t->sov("report", "--json"); is($s, 0, "report --json") or diag $e; return decode_json($o); }
sub page { my (@more) = @_; $t->sov_ok('report', '--html', "$d/page.html", @more); return slurp("$d/page.html"); }

# --- before anything ---
my $doc = doc();
ok(!defined $doc->{losses_tolerated} && !defined $doc->{seen}, 'before any command nothing is known');
like(page(), qr/Losses: not known/, 'and the page says so');

# --- a repository ---
$t->sov_ok('init');
my $data = $t->start_new(conf => "fsync = off\n");
$t->sql("CREATE EXTENSION pg_sovereign; SELECT create_key('patients'); CREATE TABLE p (n encrypted_text('patients')); INSERT INTO p VALUES ('x')");
$t->sov_ok('backup');
$t->sov_ok('provider', 'probe', 'b');
$doc = doc();
is($doc->{losses_tolerated}, 1, 'one may vanish');
is($doc->{needed} . ' of ' . $doc->{shards}, '2 of 3', 'k of n');
is(scalar(@{ $doc->{backups} }), 1, 'one backup');
my ($parent) = grep { $_->{name} eq 'Big Parent' } @{ $doc->{reach}{parents} };
ok($parent->{reaches} && $parent->{shards} == 2, 'a parent of two of three reaches k');
is(join(' ', map { "$_->{name}:$_->{shards}" } sort { $a->{name} cmp $b->{name} } @{ $doc->{reach}{laws} }), 'FR:2 US:2', 'laws by seat, place and reach');
is(join(' ', map { "$_=$doc->{reach}{unknown}{$_}" } sort keys %{ $doc->{reach}{unknown} }), 'laws=1 operators=1 parents=1', 'what is unknown is counted');
is($doc->{custody}{databases}[0]{keys}[0]{name}, 'patients', 'keys of the database');
ok($doc->{key_on_server}, 'a key file is on the server');
my $held = $doc->{providers}[0]{about_bytes};
cmp_ok(abs($held * 3 - $doc->{backups}[0]{stored}), '<', 2, 'bytes held by a provider');

# --- the page says the same ---
my %words = (en => [ 'What is held where', 'One owner could rebuild', 'The root key lies on the server', 'may vanish now', 'Restore drills', 'The honest limits' ],
	fr => [ 'Ce qui est détenu, et où', 'Un seul propriétaire pourrait', 'La clé racine est sur le serveur', 'peuvent disparaître maintenant', 'Exercices de restauration', 'Les limites' ]);
for my $language (qw(en fr))
{
	my $html = page('--language', $language);
	like($html, qr/\A<!DOCTYPE html>\n<html lang="$language">.*<\/html>\n\z/s, "$language: a whole page");
	like($html, qr/\Q$_\E/, "$language: $_") for @{ $words{$language} };
	unlike($html, qr/<script|alert\("|\b(?:src|href)=/, "$language: nothing runs, nothing is fetched");
	like($html, qr/&lt;script&gt;alert\(&quot;x&quot;\)&lt;\/script&gt; &amp; &#39;Co&#39;/, "$language: names are escaped");
	like($html, qr/Big Parent \(2\)/, "$language: the parent is named");
	like($html, qr/patients/, "$language: keys");
	my %open;
	my $balanced = 1;
	while ($html =~ /<(\/?)(table|tr|td|th|div|p|h1|h2|ul|li|svg|span|code|b)\b[^>]*>/g) { $open{$2} += $1 ? -1 : 1; $balanced = 0 if $open{$2} < 0; }
	is(join(' ', grep { $open{$_} } sort keys %open) . ($balanced ? '' : ' closed before opened'), '', "$language: every element is closed");
	for my $command ($html =~ /<code>pg_sovereign ([a-z]+)/g) { my ($s) = $t->sov($command, '--help'); fail("$language: there is no command $command") if $s ne '0'; }
}
my @json_values = ($doc->{generated}, $doc->{repository});
like(page(), qr/\Q$doc->{repository}\E/, 'the repository is named');

# --- it follows ---
rename "$d/c", "$d/c.away";
$t->sov('list');
is(doc()->{losses_tolerated}, 0, 'a provider that is away: nothing more may be lost');
like(page(), qr/Nothing more may be lost.*does not answer/s, 'and the page says so');
rename "$d/c.away", "$d/c";
$t->sov_ok('verify', '--deep');
is(doc()->{losses_tolerated}, 1, 'and again when it is back');
like(page(), qr/<td class="ok">0<\/td>/, 'proven today');

# --- letters ---
like($t->sov_ok('report', '--breach', 'b'), qr/Incident at provider b.*2 shards from 2 different providers.*34\(3\)\(a\).*The root key lies on the server itself/s, 'a letter after an incident');
like($t->sov_ok('report', '--exit', 'b', '--language', 'fr'), qr/Départ de l&#39;hébergeur b.*2023\/2854.*les relire prend environ/s, 'a letter to leave, in French, with the time measured');
like($t->sov_ok('report', '--exit', 'a'), qr/not measured/, 'or not measured');
unlike($t->sov_ok('report', '--breach', 'a'), qr/<script/, 'escaped too');
$t->sov_is('of a provider that is none', 2, qr/"z" is no configured provider/, 'report', '--breach', 'z');
$t->sov_is('nothing asked', 2, qr/--html FILE or --json/, 'report');
$t->sov_is('a place that is none', 1, qr/could not write/, 'report', '--html', "$d/nowhere/page.html");
is(join(' ', glob("$d/page.html.*")), '', 'nothing is left half-written');
done_testing();
