# The tutorial works, and shows what one sees: its blocks are run in their order, and what
# they print is what stands in the block "text" behind them.  There a line "..." stands for
# any lines, and times, sizes, ids and what is sealed may differ.  UPDATE=FILE writes the
# page anew with what was printed.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use SovMachine;
use SovTest;
use Test::More;

plan skip_all => SovTest::unable() if SovTest::unable();

my $top = "$FindBin::Bin/../..";
my $page = slurp("$top/extension/doc/tutorial.md");
my $m = SovMachine->new(map { "srv/$_/bank" } qw(one two three four));
my ($t, $dir, $data) = @{$m}{qw(t dir data)};
system('cp', "$top/test/data/rotterdam.csv", "$dir/rotterdam.csv");
chmod 0644, "$dir/rotterdam.csv";
$t->start($data);

# What this machine has in place of a real one's.
sub there
{
	my ($text) = @_;
	$text =~ s{\Q$dir\E/(etc|var|srv)/}{/$1/}g;
	$text =~ s{psql:block\.sql:\d+: }{}g;
	# (when the server commits at that moment)
	$text =~ s/^pg_sovereign: note: provider \w+ showed administrator's head .* written back\n//mg;
	return $text;
}

# Without what differs from run to run
sub plain
{
	my ($text) = @_;
	$text =~ s/sov1:[A-Za-z0-9+\/=]+/SEALED/g;
	$text =~ s/\b\d{8}T\d{6}Z-[0-9a-f]{4}\b/BACKUP/g;
	$text =~ s/\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/UUID/g;
	$text =~ s/\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d+)?(?: UTC|Z|\+\d\d)?/TIME/g;
	$text =~ s/\b[0-9A-F]{24}\b/SEGMENT/g;
	$text =~ s/\b[0-9A-F]{1,8}\/[0-9A-F]{1,8}\b/LSN/g;
	$text =~ s/\b\d+(?:\.\d+)? ?(?:bytes|[kMG]?B(?:\/s)?|s|ms|min)\b/AMOUNT/g;
	$text =~ s/\b\d+ (objects|shards|packs|copies|entries|batches|files|requests|rebuilt)\b/N $1/g;
	$text =~ s/\b[0-9a-f]{8,}\b/HEX/g;
	$text =~ s/-{3,}/--/g;
	$text =~ s/[ \t]+/ /g;
	$text =~ s/^ | $//mg;
	return $text;
}

sub same
{
	my ($shown, $got, $name) = @_;
	my $re = join '', map { $_ eq '...' ? '(?:.*\n)*' : quotemeta($_) . '\n' } split /\n/, plain($shown);
	like(plain($got) . "\n", qr/\A\n*$re\n*\z/, $name) or diag("printed:\n$got\nshown:\n$shown");
}

my $conf = '';
sub run_block
{
	my ($kind, $text) = @_;
	if ($kind eq 'ini' && $text =~ /^\[cluster\]/)
	{
		$conf = $text;
	}
	elsif ($kind eq 'ini')
	{
		$conf =~ s/^\[provider\.two\]\n.*?(?=^\[)/$text/ms or die 'there is no provider two';
	}
	elsif ($kind eq '')
	{
		$m->settings($text);
		$t->restart($data);
	}
	elsif ($kind eq 'sql')
	{
		sleep 1 if $text =~ /FROM audit\b/;	# entries are half a second on their way
		spit("$dir/block.sql", $text);
		chmod 0644, "$dir/block.sql";
		return ($m->shell('psql -X -q -f block.sql 2>&1'))[0, 1];
	}
	else
	{
		my @result = $m->shell("{ $text } 2>&1");
		$t->{clusters}{$data} = 1 if $text =~ /pg_ctl.* start/;
		return @result;
	}
	$m->configure($conf);
	return (0, '');
}

my ($heading, $n, $outputs, $last, $new) = ('', 0, 0, '', '');
while ($page =~ /\G(.*?)^```(\w*)\n(.*?)^```\n/msgc)
{
	my ($between, $kind, $text) = ($1, $2, $3);
	($heading) = ($between =~ /^## ([^\n]*)/mg)[-1] // $heading;
	if ($kind eq 'text')
	{
		$outputs++;
		same($text, $last, "$heading: block $n prints what is shown");
		$new .= "$between```text\n$last```\n" if $between =~ /\S/;
		next;
	}
	$n++;
	my ($status, $out) = run_block($kind, $m->here($text));
	is($status, '0', "$heading: block $n") or diag($out);
	$last = there($out);
	$new .= "$between```$kind\n$text```\n" . ($last =~ /\S/ ? "\n```text\n$last```\n" : '');
}
spit($ENV{UPDATE}, $new . substr($page, pos $page)) if $ENV{UPDATE};
cmp_ok($n, '>=', 15, 'the tutorial has its blocks');
cmp_ok($outputs, '>=', 10, 'and what they print');
done_testing();
