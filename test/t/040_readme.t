# What the README says works: its blocks of configuration, SQL and shell are run,
# in their order, with the directories of a real machine replaced by scratch ones.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use SovTest;
use Test::More;

plan skip_all => SovTest::unable() if SovTest::unable();

my $t = SovTest->new;
my $dir = $t->dir;
my $readme = slurp("$FindBin::Bin/../../README.md");
ok($readme, 'there is a README');
cmp_ok(scalar(split /\n/, $readme), '<', 400, 'that can be read');

# --- a machine in small ---
my $bin = $t->{bindir};
my $conf = "$dir/etc/pg_sovereign/pg_sovereign.conf";
run_as('mkdir', '-p', map { "$dir/$_" } qw(etc/pg_sovereign var/lib/pg_sovereign var/lib/postgresql/15 srv/paris srv/gravelines srv/frankfurt srv/helsinki));
my $data = "$dir/var/lib/postgresql/15/main";
run_as("$bin/initdb", '-D', $data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C.UTF-8', '--data-checksums', '--no-sync');
open(my $fh, '>>', "$data/postgresql.conf") or die;
print $fh "port = $t->{port}\nlisten_addresses = ''\nunix_socket_directories = '$dir'\nsovereign.config_file = '$conf'\n";
close $fh;
$t->start($data);

sub here
{
	my ($text) = @_;
	$text =~ s{(?<![\w.])/(etc/pg_sovereign|var/lib|srv)\b}{$dir/$1}g;
	$text =~ s{\$\(pg_config --bindir\)}{$bin}g;
	return $text;
}

sub shell
{
	my ($script) = @_;
	return capture(as('env', "PATH=$bin:$ENV{PATH}", "PGHOST=$dir", "PGPORT=$t->{port}", 'PGUSER=postgres',
		'PGDATABASE=postgres', "PG_SOVEREIGN_CONFIG=$conf", 'bash', '-euc', "cd $dir; $script"));
}

# --- every block in its order ---
my ($n, $whole) = (0, '');
while ($readme =~ /^```(\w+)\n(.*?)^```$/msg)
{
	my ($kind, $text) = ($1, here($2));
	my ($first) = $text =~ /^(\S.*)$/m;
	$n++;
	if ($kind eq 'ini')
	{
		# A block with a provider alone takes the place of gravelines.
		if ($whole eq '') { $whole = $text; }
		else { $whole =~ s/^\[provider\.gravelines\]\n.*?(?=^\[|\z)/$text\n/ms; }
		# (the default is an absolute path of the machine)
		$whole =~ s{^(shards = 3\n)(?!state)}{$1state-directory = $dir/var/lib/pg_sovereign/clinic\n}m;
		spit($conf, $whole);
		chmod 0644, $conf;
		pass("block $n: configuration");
	}
	elsif ($kind eq 'sql')
	{
		spit("$dir/block.sql", "\\set ON_ERROR_STOP on\n$text");
		chmod 0644, "$dir/block.sql";
		my ($status, $out, $err) = shell('psql -X -q -At -f block.sql');
		ok($status eq '0' && $err !~ /ERROR|WARNING/, "block $n: $first") or diag("$status $out$err");
		like($out, qr/^Sylvie Marchand\|stable$/m, 'and finds what was inserted') if $text =~ /INSERT INTO patient/;
		is($out, "1\n1\n1\n", 'and finds what is searched') if $text =~ /LIKE/;
	}
	else
	{
		my ($status, $out, $err) = shell($text);
		ok($status eq '0', "block $n: $first") or diag("$status $out$err");
	}
}
cmp_ok($n, '>', 12, 'the README has its blocks');
like((shell('pg_sovereign list'))[1], qr/helsinki/, 'the provider was changed on the way');
like((shell('psql -At -c "SELECT reason::text FROM visit"'))[1], qr/consultation/, 'a column encrypted in place opens');

# --- renaming a section, moving its folder ---
rename("$dir/srv/paris", "$dir/srv/lutetia") or die;
(my $moved = $whole) =~ s{\[provider\.paris\]}{[provider.lutetia]};
$moved =~ s{/srv/paris}{/srv/lutetia};
spit($conf, $moved);
{
	my ($status, $out, $err) = shell('pg_sovereign plan');
	ok($status eq '0' && $out !~ /rebuild|copy/, 'a provider renamed and moved costs nothing') or diag("$status $out$err");
	($status, $out, $err) = shell('pg_sovereign apply && pg_sovereign verify');
	is($status, '0', 'and all is whole') or diag("$out$err");
}

# --- the tables of the reference name what there is ---
my ($usage) = (shell('pg_sovereign --help'))[1] =~ /Commands:\n(.*?)\n\n/s;
for my $command ($usage =~ /^  (\S+)/mg)
{
	like($readme, qr/^\| .*`\Q$command\E[ `]/m, "command $command is in the reference");
	for my $option ((shell("pg_sovereign $command --help"))[1] =~ /^  (?:-\w, )?(--[\w-]+)/mg)
	{
		next if $option eq '--target' || $option eq '--help';
		like($readme, qr/^\| .*`\Q$command\E\b.*\Q$option\E\b/m, "$command $option too");
	}
}
for my $setting (split /\n/, (shell(q{psql -At -c "LOAD 'pg_sovereign'" -c "SELECT name FROM pg_settings WHERE name LIKE 'sovereign.%'"}))[1])
{
	next if $setting eq 'LOAD';
	like($readme, qr/^\| `\Q$setting\E` \|/m, "setting $setting is in the reference");
}
done_testing();
