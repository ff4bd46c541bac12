# Metrics: valid for Debian's promtool, true, documented name by name, and not to be
# steered by hostile names; the sample alerts fire when they shall.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use SovTest;
use Test::More;

plan skip_all => SovTest::unable() if SovTest::unable();
my $top = "$FindBin::Bin/../..";
my $promtool = grep { -x "$_/promtool" } split /:/, $ENV{PATH};

my $t = SovTest->new;
my $dir = $t->dir;

# Metrics by name and labels; and their names alone.
sub metrics { return map { /^(pg_sovereign_\S+?(?:\{.*\})?) (-?\d+)$/ ? ($1 => $2) : () } split /\n/, $_[0]; }
sub names { return map { s/\{.*//rs } keys %{{metrics($_[0])}}; }

sub valid
{
	my ($text, $what) = @_;
  SKIP: {
		skip 'promtool is not installed (package prometheus)', 1 unless $promtool;
		spit("$dir/text", $text);
		my ($status, $out, $err) = capture('sh', '-c', "promtool check metrics < $dir/text");
		is("$status$out$err", '0', $what);
	}
}

# --- before anything is known ---
my ($status, $out, $err) = $t->sov('metrics');
is($status, '1', 'nothing is known yet');
like($err, qr/hint: run 'pg_sovereign list'/, 'and what to do is said');
is($out, '', 'no metrics then');

# --- a repository without a server ---
$t->sov_ok('init');
$t->sov_ok('list');
my %m = metrics($out = $t->sov_ok('metrics'));
valid($out, 'metrics of an empty repository are valid');
like($out, qr/\n# EOF\n\z/, 'and end as OpenMetrics do');
is($m{pg_sovereign_needed} . '/' . $m{pg_sovereign_shards}, '2/3', 'k and n');
is($m{'pg_sovereign_losses_tolerated{class="pack"}'}, 1, 'one loss is tolerated');
is($m{pg_sovereign_backups}, 0, 'no backup');
ok(!exists $m{pg_sovereign_backup_newest_timestamp_seconds} && !exists $m{pg_sovereign_drill_passed}, 'what is not known has no sample');
cmp_ok(abs($m{pg_sovereign_seen_timestamp_seconds} - time), '<', 300, 'seen just now');

# --- a provider down ---
rename("$dir/b", "$dir/away");
$t->sov('list');
%m = metrics($t->sov_ok('metrics'));
is($m{'pg_sovereign_provider_up{provider="b"}'} . $m{'pg_sovereign_provider_up{provider="a"}'}, '01', 'the one that is away is down');
is($m{'pg_sovereign_losses_tolerated{class="head"}'}, 0, 'and no further loss is tolerated');
rename("$dir/away", "$dir/b");
$t->sov('list');

# --- everything, with hostile names ---
my $facts = slurp("$dir/state/facts");
$facts =~ s/"provider":"c"/"provider":"c\\"} 1\\nevil\\\\"/;
$facts =~ s/"backups":\[\]/"backups":[{"backup":"x","finished":"2026-11-01T10:00:00Z","bytes":5000000000,"stored":7,"bad_pages":2},{"backup":"y","finished":"2026-10-01T10:00:00Z","bytes":1,"stored":3}]/;
$facts =~ s/"wal":\[\]/"wal":[{"timeline":1,"marked":"2026-11-01T11:00:00Z"}]/;
spit("$dir/state/facts", $facts);
spit("$dir/state/verified", '{"time":"2026-11-02T10:00:00Z","deep":true,"objects":9,"missing":1,"damaged":2,"lost":0,"tolerates":1}');
spit("$dir/state/drills", qq({"time":"2026-11-01 09:00:00 UTC","passed":true}\n{"time":"2026-11-02 09:00:00 UTC","passed":false}\n{"time":"cut));
%m = metrics($out = $t->sov_ok('metrics'));
valid($out, 'metrics are valid whatever names are');
unlike($out, qr/^evil/m, 'a name begins no line');
is($m{pg_sovereign_backup_newest_timestamp_seconds}, 1793527200, 'the newest backup');
is("$m{pg_sovereign_backup_newest_bytes} $m{pg_sovereign_backup_newest_bad_pages} $m{pg_sovereign_backups_stored_bytes}", '5000000000 2 10', 'and its numbers');
is($m{pg_sovereign_drill_passed}, 0, 'the last whole line of drills counts');
is($m{pg_sovereign_verified_damaged}, 2, 'damage of the last verify');

# --- a file for the collector ---
$t->sov_ok('metrics', '--output', "$dir/out.prom");
is(slurp("$dir/out.prom"), $out, 'the same in a file');
is(sprintf('%o', (stat "$dir/out.prom")[2] & 07777), '644', 'that the collector may read');
($status, $out, $err) = $t->sov('metrics', '--output', "$dir/none/out.prom");
is($status, '1', 'a file that cannot be written is an error');
like($err, qr/none\/out\.prom/, 'which names it');

# --- documents and alerts name what there is ---
my $doc = slurp("$top/extension/doc/metrics.md");
my %documented = map { ("pg_sovereign_$_" => 1) } map { /`([a-z_]+)(?:\{[a-z,]+\})?`/g } map { /^\| ([^|]*) \|/ } grep { /^\| `/ } split /\n/, $doc;
my %printed = map { ($_ => 1) } names($t->sov_ok('metrics')), 'pg_sovereign_provider_proven_timestamp_seconds';
is_deeply([sort keys %documented], [sort keys %printed], 'every metric is documented, and no other');
my $rules = slurp("$top/extension/packaging/prometheus/pg_sovereign.rules.yml");
my @used = map { /\b(pg_sovereign_[a-z_]+)/g } $rules =~ /^ *expr: (.*)$/mg;
is_deeply([grep { !$printed{$_} } @used], [], 'alerts use metrics that exist');
SKIP: {
	skip 'promtool is not installed (package prometheus)', 1 unless $promtool;
	($status, $out, $err) = capture('sh', '-c', "cd $top/extension/packaging/prometheus && promtool check rules pg_sovereign.rules.yml && promtool test rules pg_sovereign.test.yml");
	is($status, '0', 'the sample alerts fire when they shall') or diag("$out$err");
}
done_testing();
