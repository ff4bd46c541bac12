# What the README says works: its blocks of configuration, SQL and shell are run,
# in their order, with the directories of a real machine replaced by scratch ones.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use SovMachine;
use SovTest;
use Test::More;

plan skip_all => SovTest::unable() if SovTest::unable();

my $readme = slurp("$FindBin::Bin/../../README.md");
my $reference = slurp("$FindBin::Bin/../../extension/doc/reference.md");
my $extending = slurp("$FindBin::Bin/../../extension/doc/extending.md");
cmp_ok(scalar(split /\n/, $readme), '<', 400, 'the README can be read');
for my $page ($readme =~ /\]\(([\w.\/-]+)/g)
{
	ok(-s "$FindBin::Bin/../../$page", "the README leads to $page");
}

# --- a machine in small ---
my $m = SovMachine->new(folders($readme), 'srv/four');
my ($t, $dir, $conf, $data) = @{$m}{qw(t dir conf data)};
$t->start($data);

sub folders { return map { s{^/}{}r } $_[0] =~ m{^path = (\S+)}mg; }
sub here { return $m->here(@_); }
sub shell { return $m->shell(@_); }

# What a block takes for granted.
sub prepare
{
	my ($text, $written) = @_;
	if ($$text =~ /newdb/)
	{
		shell('createdb newdb; pg_dump -f dump.sql postgres');
	}
	elsif ($$text =~ /--delta/)
	{
		$t->archive;
		$t->stop($data, 'fast');
	}
	elsif ($$text =~ /drill/)
	{
		spit("$dir/checks.sql", "SELECT count(*) FROM patient;\n");
		chmod 0644, "$dir/checks.sql";
		$$text =~ s/drill/drill --scratch $dir/;
	}
	elsif ($$text =~ /restore -D/)
	{
		my $now = $t->sql('SELECT clock_timestamp()');
		$$text =~ s/--target-time '[^']*'/--target-time '$now'/;
		sleep 1;
		$t->sql('CREATE TABLE too_late ()');
		$t->archive;
		$t->stop($data);
		run_as('rm', '-rf', $data);
	}
	elsif ($$text =~ /pg_sovereign apply/)
	{
		$$written =~ s/^\[provider\.two\]\n.*?(?=^\[)/[provider.four]\ntype = folder\npath = $dir\/srv\/four\n/ms;
		spit($conf, $$written);
	}
}

# --- every block in its order ---
my ($n, $written) = (0, '');
for my $block (blocks($readme))
{
	my ($kind, $text) = ($block->[0], here($block->[1]));
	my ($first) = $text =~ /^(\S[^#\n]*)/m;
	next if $text =~ /\bmake\b/;
	$n++;
	prepare(\$text, \$written);
	if ($kind eq 'ini' && $text !~ /^\[cluster\]/)
	{
		# A further section; network providers have tests of their own.
		next if $text =~ /^type = (?!folder)/m;
		$written .= $text;
		spit($conf, $written);
		ok((shell('pg_sovereign list'))[0] eq '0', "block $n: $first is understood");
	}
	elsif ($kind eq 'ini')
	{
		# (the default would be an absolute path of this machine)
		$written = $text =~ s{^(shards = 3\n)}{$1state-directory = $dir/var/lib/pg_sovereign/x\n}mr;
		spit($conf, $written);
		chmod 0644, $conf;
	}
	elsif ($kind eq '')
	{
		$m->settings($text);
		$t->stop($data, 'fast');
		$t->start($data);
		pass("block $n: server settings");
	}
	elsif ($kind eq 'sql')
	{
		my ($status, $out, $err) = $m->sql($text);
		ok($status eq '0' && $err !~ /ERROR|WARNING/, "block $n: $first") or diag("$status $out$err");
		like($out, qr/^Martin$/m, 'and finds what was inserted') if $text =~ /SELECT name/;
	}
	else
	{
		my ($status, $out, $err) = shell($text);
		ok($status eq '0', "block $n: $first") or diag("$status $out$err");
		if ($text =~ /restore -D/)
		{
			$t->start($data) if $text =~ /--delta/;
			$t->{clusters}{$data} = 1;
			for (1 .. 600) { last if $t->sql('SELECT pg_is_in_recovery()', nofail => 1) eq 'f'; select(undef, undef, undef, 0.1); }
			is($t->sql("SELECT name || ' ' || (to_regclass('too_late') IS NULL) FROM patient"), 'Martin true', 'the restored server has what it had then');
		}
	}
}
cmp_ok($n, '>=', 10, 'the README has its blocks');
like((shell('pg_sovereign list'))[1], qr/four/, 'the provider was changed on the way');
is((shell('psql -At -d newdb -c "SELECT name FROM patient"'))[1], "Martin\n", 'the dump was loaded, and opens');

# --- renaming a section, moving its folder ---
{
	my $one = $written =~ s{\[provider\.one\]}{[provider.uno]}r;
	my ($path) = $one =~ m{uno\]\n.*?path = (\S+)}s;
	run_as('mv', $path, "$dir/srv/uno");
	spit($conf, $one =~ s{\Q$path\E\n}{$dir/srv/uno\n}r);
	my ($status, $out, $err) = shell('pg_sovereign plan');
	ok($status eq '0' && $out !~ /rebuild|copy/, 'a provider renamed and moved costs nothing') or diag("$status $out$err");
	($status, $out, $err) = shell('pg_sovereign apply && pg_sovereign verify');
	is($status, '0', 'and all is whole') or diag("$out$err");
}

# --- the blocks of the shorter pages, with a provider of this machine ---
shell(q{createdb clinic; psql -d clinic -c "CREATE EXTENSION pg_sovereign; SELECT create_key('k'); CREATE TABLE c (n encrypted_text('k')); INSERT INTO c VALUES ('Martin')"});
for my $page (qw(providers report metrics audit upgrading erasure))
{
	shell('dropdb newdb') if $page eq 'erasure';
	$t->sql("DROP TABLE patient; CREATE TABLE patient (patient_id text, diagnosis text); INSERT INTO patient VALUES ('4711', 'I10'), ('4713', 'E11')") if $page eq 'erasure';
	for my $block (blocks(slurp("$FindBin::Bin/../../extension/doc/$page.md")))
	{
		my ($kind, $text) = @$block;
		next unless $kind =~ /^(?:sh|sql)$/;
		$text =~ s/\b(?:paris|ovh)\b/three/g;
		$text =~ s{/var/lib/prometheus/node-exporter}{$dir}g;
		$text =~ s{(--html )(?=\w)}{$1$dir/}g;
		$text = here($text);
		prepare(\$text) if $text =~ /restore -D/;
		my ($status, $out, $err) = $kind eq 'sql' ? $m->sql($text) : shell($text);
		ok($status eq '0' && $err !~ /ERROR|WARNING/, "$page.md: " . ($text =~ /^(\S[^#\n]*)/m)[0]) or diag("$status $out$err");
	}
}

$t->{clusters}{$data} = 1;
is((shell('psql -At -d clinic_new -c "SELECT n FROM c"'))[1], "Martin\n", 'a dump taken with keys is loaded and opens');
is($t->sql("SELECT diagnosis FROM patient WHERE patient_id = '4713'"), 'E11', 'after the restore the others are read');
unlike($t->sql("SELECT diagnosis FROM patient WHERE patient_id = '4711'", nofail => 1), qr/I10/, 'and the erased person is not');

# --- the tables of the reference name what there is ---
my ($usage) = (shell('pg_sovereign --help'))[1] =~ /Commands:\n(.*?)\n\n/s;
for my $command ($usage =~ /^  (\S+)/mg)
{
	ok(scalar($reference =~ /^\| .*`\Q$command\E[ `]/m), "command $command is in the reference");
	my $help = (shell("pg_sovereign $command --help"))[1];
	my ($row) = $reference =~ /^\| [^|]*`(\Q$command\E[^`]*)`/m;
	ok(scalar($help =~ /\Q$_\E\b/), "$command has $_") for $row =~ /(--[\w-]+)/g;
	ok(scalar($row =~ /--dry-run/), "and that $command has --dry-run") if $help =~ /--dry-run/;
}
for my $setting (split /\n/, (shell(q{psql -Atq -c "LOAD 'pg_sovereign'" -c "SELECT name FROM pg_settings WHERE name LIKE 'sovereign.%'"}))[1])
{
	ok(scalar($reference =~ /^\| `\Q$setting\E` \|/m), "setting $setting is in the reference");
}
for my $option (sort { $a cmp $b } slurp("$FindBin::Bin/../../extension/core/config/config.c") =~ /^\t\{S_(\w+, "[\w-]+)"/mg)
{
	my ($section, $name) = $option =~ /(\w+), "(.*)/;
	my $row = join "\n", $reference =~ /^(\| [^|]*`\Q$name\E`[^|]*\|)/mg;
	ok(length $row, "[\L$section\E] $name is in the reference");
}
# pg_regress runs these
my $more_types = slurp("$FindBin::Bin/../../sql/more_types.sql");
ok(index($more_types, $_) >= 0, 'a block of extending.md is tested') for $extending =~ /^```sql\n(.*?)^```/gms;
done_testing();
