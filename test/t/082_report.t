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
my ($noted) = grep { $_->{event} eq 'backup' } @{ $doc->{audit}{events} };
ok($noted && $noted->{entries} >= 1 && $noted->{refused_or_failed} == 0 && $noted->{last} =~ /^20\d\d-/, 'the audit log is counted');
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
	my @sections = map { /<code>pg_sovereign / ? () : substr($_, 0, 40) } grep { !/^(?:The honest limits|Les limites)/ } (split /<h2>/, $html)[1 .. 9];
	is(join(', ', @sections), '', "$language: each section carries the command that shows it");
	like($html, qr/Big Parent \(2\)/, "$language: the parent is named");
	like($html, qr/patients/, "$language: keys");
	like($html, qr/<td>backup<\/td><td class="n">[1-9]\d*<\/td>/, "$language: the audit log");
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
like(page(), qr/No further loss is tolerated<\/b>With one provider less, not everything.*does not answer.*<td class="no">✗/s, 'and the page says so');
rename "$d/c.away", "$d/c";
$t->sov_ok('verify', '--deep');
is(doc()->{losses_tolerated}, 1, 'and again when it is back');
like(page(), qr/<td class="ok">0<\/td>/, 'proven today');

# --- through time ---
# What the history has is what happened above; what it costs is a line for each change.
my $file = "$d/state/history";
sub history { my ($h) = doc()->{history}; return ($h, @{ $h->{points} }); }
sub bytes_at { my ($p) = @_; my $sum = 0; $sum += -s $_ for map { objects("$d/$p", $_) } qw(r m p w); return $sum; }
sub lines { return split /\n/, slurp($file); }
my ($history, @points) = history();
is(join(' ', map { $_->{tolerated}{pack} } grep { $_->{backups} } @points), '1 0 1', 'a point for the backup, the loss and its end');
is($points[-2]{providers}{c}{state}, 'down', 'and who was away');
is(join(' ', map { $points[-1]{found}{$_} } qw(tolerates missing damaged lost)), '1 0 0 0', 'what verify found');
is($points[-1]{providers}{a}{bytes}, bytes_at('a'), 'bytes at a provider are those of its files');
ok(!exists $points[-2]{providers}{a}{bytes}, 'who does not list counts none');
my $before = lines();
$t->sov_ok('list');
is(scalar(lines()), $before, 'nothing new, no line');
unlike(slurp($file), qr/patients|Big Parent|\Q$d\E/, 'nothing else is in it');
unlink((objects("$d/b", 'p'))[0]);
$t->sov('verify');
(undef, @points) = history();
is("$points[-1]{found}{missing} $points[-1]{found}{tolerates}", '1 0', 'a verify that finds a hole');
like(page(), qr/verify<\/td>.*?class="n no">damage<.*?damage: 1 of 2/s, 'is on the page');
like(page('--language', 'fr'), qr/dommages&nbsp;: 1 sur 2/, 'in French too');
$t->sov_ok('repair', '--quick');
(undef, @points) = history();
is($points[-1]{providers}{b}{bytes}, bytes_at('b'), 'bytes after a repair have what was put back');
$t->sov_ok('prune', '--keep-last', '1', '--grace', '0', '--orphan-grace', '0');
(undef, @points) = history();
is($points[-1]{providers}{b}{bytes}, bytes_at('b'), 'bytes after a prune are those that are left');

# A line cut by a crash is passed over, and ended by the next writer.
my $text_of_lines = slurp($file);
spit($file, $text_of_lines . substr((lines())[-1], 0, 60));
($history, my @torn) = history();
is(scalar(@torn) . " $history->{unreadable}", scalar(@points) . ' 1', 'a torn line is passed over');
$t->sov_ok('verify');
($history, @torn) = history();
is(scalar(@torn) . " $history->{unreadable}", (1 + @points) . ' 1', 'and costs nothing of the next one');

# Forty days, clocks that went back and one that was in another century, hostile names.
my $now = time;
my $line = sub { my ($when, $pack, $name) = @_; encode_json({ time_us => int($when * 1e6), of => 'point', tolerated => { pack => $pack, WAL => 1, metadata => 1 },
	backups => 1, stored => 1000, providers => { a => { state => 'active', owed => 0, bytes => 500 }, $name // 'b' => { state => $pack ? 'active' : 'down', owed => 0 } } }) . "\n" };
spit($file, join('', map({ my $day = $_; map { $line->($now - $day * 86400 - $_ * 3600, $day == 20 && $_ == 3 ? 0 : 1) } reverse 0 .. 9 } reverse 1 .. 40),
	$line->($now - 90000, 1, '<script>'), $line->($now - 93600, 1), $line->($now + 3e9, 1), $line->(86400, 0), $line->($now - 88000, 1)));
($history, @points) = history();
is("$history->{later} $history->{earlier}", '1 1', 'a point of the next century is left out, and one of 1970');
is(join(' ', map { $_->{time} } @points), join(' ', sort map { $_->{time} } @points), 'points are in the order of time');
my $html = page();
like($html, qr/1 points are dated later than now/, 'and the page says so');
like($html, qr/&lt;script&gt; \(left\)/, 'a provider that was left is named, escaped');
unlike($html, qr/<script|nan|inf[^o]|(?:width|height|x|y)="-/, 'nothing is drawn wrong');
my $day = sub { my @t = gmtime($now - 20 * 86400 - 3 * 3600); sprintf('%04d-%02d-%02d', $t[5] + 1900, $t[4] + 1, $t[3]) }->();
like($html, qr/<td>pack<\/td>.*?<rect [^>]*fill="#a40e26".*?<td class="n no">0 <span class="small">$day/s, 'the worst day is drawn and named');
$t->sov_ok('list');
(undef, @points) = history();
cmp_ok(scalar(@points), '<', 130, 'what is older than a week is thinned out: ' . @points);
cmp_ok(scalar(grep { $_->{of} eq 'point' } @points), '>', 60, 'what is younger is not');
my ($worst) = grep { $_->{time} =~ /^$day/ } @points;
is("$worst->{of} $worst->{tolerated}{pack} $worst->{providers}{b}{state} $worst->{providers}{a}{bytes}", 'day 0 down 500', 'a day keeps its worst');
is($points[0]{time} lt $day, 1, 'and the oldest is still there');
like(page(), qr/<td>pack<\/td>.*?<td class="n no">0 <span class="small">$day/s, 'the page as before');
unlink $file;
open(my $locked, ">>", "$file.lock") or die;
flock($locked, 2) or die;
like($t->sov_ok('list'), qr/the history of the repository lacks a point: another pg_sovereign command/, 'who holds the lock for ever stops nobody');
close $locked;
mkdir $file;
like($t->sov_ok('list'), qr/the history of the repository lacks a point: .*history/, 'what cannot be kept is said, and fails no command');
rmdir $file;

# --- drills: what the last ones showed, on the page ---
sub section { my ($html, $title) = @_; return ($html =~ /<h2>\Q$title\E<\/h2>(.*?)(?=<h2>|\z)/s)[0] // ''; }
like(section(page(), 'Restore drills'), qr/<p class="no">None is recorded on this host/, 'before the first drill the page says that there was none');
$t->sov_ok('drill', '--scratch', $d);
my ($drill) = @{ doc()->{drills} };
my $took = 0;
$took += $_ for values %{ $drill->{seconds} };
my $row = sprintf('<tr><td>%s</td><td class="ok">passed</td><td>%s</td><td class="n">%d</td></tr>', $drill->{time}, $drill->{backup}, $took + 0.5);
like($drill->{time} . $drill->{backup}, qr/^20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC20\d{6}T/, 'a drill has its time and its backup');
is(scalar(() = section(page(), 'Restore drills') =~ /\Q$row\E/g), 1, 'and its row, with the seconds of all its stages');
my $failed = encode_json({ time => '2026-11-08 02:00:00 UTC', passed => JSON::PP::false, error => 'psql: <b onload=x> & "no"', backup => '20261108T000000Z-aaaa', seconds => { restore => 61.4, start => 2.3 } });
spit("$d/state/drills", slurp("$d/state/drills") . "{\"time\": \"2026-11-0\n$failed\n");
my $failed_row = '<tr><td>2026-11-08 02:00:00 UTC</td><td class="no">psql: &lt;b onload=x&gt; &amp; &quot;no&quot;</td><td>20261108T000000Z-aaaa</td><td class="n">64</td></tr>';
like(section(page(), 'Restore drills'), qr/\Q$failed_row\E\s*\Q$row\E/, 'one that failed says why, escaped; the newest stands first, a line that was cut is passed over');
like(section(page('--language', 'fr'), 'Exercices de restauration'), qr/<td class="ok">réussi<\/td>/, 'in French too');

# --- claims: each with its value, its source, when that was read, and how sure it is ---
spit("$d/own.ini", "[source.evil]\ndescription = Register <b>of</b> \"x\" & Co\nread-on = 2025-03\nconfidence = third-party\n" .
	"[vendor.mine]\noperator = Mine SA \@evil\nseat = LU \@evil\ntechnology = <script>alert(1)</script> \@evil\n");
spit($t->conf, slurp($t->conf) =~ s{^(\[repository\])}{$1\ncatalogue = $d/own.ini}mr =~ s{^(\[provider\.c\])}{$1\npreset = mine}mr);
my %claims = map { my $p = $_; map { ("$p->{provider} $_" => $p->{claims}{$_}) } grep { defined $p->{claims}{$_}{value} } keys %{ $p->{claims} } } @{ doc()->{providers} };
for (['en', 'Where each claim comes from', 'the configuration says so', 'now', 'stated', 'third-party'],
	['fr', 'D\'où vient chaque affirmation', 'la configuration le dit', 'aujourd&#39;hui', 'déclaré', 'tiers'])
{
	my ($language, $title, $says, $now, $stated, $third) = @$_;
	my $rows = section(page('--language', $language), $title);
	like($rows, qr{\Q<tr><td>c</td><td>seat</td><td>LU</td><td>Register &lt;b&gt;of&lt;/b&gt; &quot;x&quot; &amp; Co</td><td>2025-03</td><td>$third</td></tr>\E}, "$language: a claim of the catalogue, escaped");
	like($rows, qr{<td>technology</td><td>&lt;script&gt;alert\(1\)&lt;/script&gt;</td>}, "$language: a hostile value too");
	like($rows, qr{\Q<tr><td>b</td><td>parent</td><td>Big Parent</td><td>$says</td><td>$now</td><td>$stated</td></tr>\E}, "$language: one of the configuration");
	is(scalar(() = $rows =~ /<tr><td>/g), scalar(keys %claims), "$language: a row for each that is known, and for no other");
}

# --- letters ---
like($t->sov_ok('report', '--breach', 'b'), qr/Incident at provider b.*2 shards from 2 different providers.*34\(3\)\(a\)\), as long as neither 1 further shard nor the key .*The root key lies on the server itself/s, 'a letter after an incident');
like($t->sov_ok('report', '--exit', 'b', '--language', 'fr'), qr/Départ de l&#39;hébergeur b.*2023\/2854.*les relire prend environ/s, 'a letter to leave, in French, with the time measured');
like($t->sov_ok('report', '--exit', 'a'), qr/not measured/, 'or not measured');
unlike($t->sov_ok('report', '--breach', 'a'), qr/<script/, 'escaped too');
$t->sov_is('of a provider that is none', 2, qr/"z" is no configured provider/, 'report', '--breach', 'z');
$t->sov_is('nothing asked', 2, qr/--html FILE or --json/, 'report');
$t->sov_is('a place that is none', 1, qr/could not write/, 'report', '--html', "$d/nowhere/page.html");
is(join(' ', glob("$d/page.html.*")), '', 'nothing is left half-written');

# --- who reaches the key, where it is not on the server ---
my $was = slurp($t->conf);
for (['', undef, undef, 'warn', 'cannot be told.*not known here', 'Impossible de dire'],
	['The hospital', [], undef, 'good', 'run by The hospital\. No provider.s operator or owner that is known runs it.*not known here', 'Aucun exploitant'],
	['Example', ['b'], undef, 'bad', 'The same hands are behind b: ', 'Les mêmes mains sont derrière b'],
	['Mine SA', ['c'], ['LU'], 'bad', 'The same hands are behind c: .*Laws that reach the custodian: LU\.', 'au dépositaire&nbsp;: LU\.'])
{
	my ($operator, $behind, $laws, $class, @said) = @$_;
	spit($t->conf, $was =~ s{^root = .*}{'root = command:/bin/false' . ($operator && "\noperator = $operator")}mre);
	my ($json) = decode_json(($t->sov('report', '--json'))[1]);
	is_deeply([@{$json}{qw(key_reach key_laws)}], [$behind, $laws], 'who reaches the key: ' . ($operator || 'nobody is named'));
	for my $language (qw(en fr))
	{
		$t->sov('report', '--html', "$d/page.html", '--language', $language);
		my $words = $said[$language eq 'fr' ? 1 : 0];
		like(slurp("$d/page.html"), qr{<div class="card $class"><b>[^<]*(?:root key|clé racine)[^<]*</b>[^\n]*$words}, "$language: on the first screen");
	}
}
spit($t->conf, $was);
done_testing();
