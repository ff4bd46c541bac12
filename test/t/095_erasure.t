# A person is erased: unreadable in the live database at once, and to whoever holds every
# byte of every provider as it ever was, a backup and the data directory from before, the
# root key and the key of the present epoch; all others stay readable, after a restore of
# that backup too.  Killed in the middle, it goes on.
use strict;
use warnings;
use Test::More;
use SovTest;
use IPC::Open2;
use Time::HiRes qw(sleep);

# The keys of epochs are files; with HSM=1 they are in SoftHSM2, which now and then misses its
# token while another process changes it.
my $module = '/usr/lib/softhsm/libsofthsm2.so';
plan skip_all => SovTest::unable() if SovTest::unable();

my $t = SovTest->new;
my $d = $t->dir;
my $epochs = "file:$d/tokens/erasable";
run_as('mkdir', '-m', '700', "$d/tokens");
$epochs = $t->hsm('erasable') if $ENV{HSM};

# The root key is a file here: nothing that is erased hangs on it.
spit($t->conf, slurp($t->conf) =~ s/^root = .*\n/$&epochs = $epochs\n/mr);
sub epoch_keys
{
	return scalar(() = glob("$d/tokens/erasable.epoch-*")) unless $ENV{HSM};
	return scalar(() = run_as('pkcs11-tool', '--module', $module, '--login', '--pin', '1234', '-O') =~ /label:\s+erasable-epoch-/g);
}
my $grade = $ENV{HSM} ? 'destroy' : 'effort';

my $conf = "fsync = off\nwal_level = logical\nmax_prepared_transactions = 2\nshared_preload_libraries = 'pg_sovereign'\n";
my $data = $t->start_new(conf => $conf);
$t->sov_ok('init');
$t->sql("CREATE EXTENSION pg_sovereign; SELECT create_key('k')");
$t->sql("CREATE TABLE visit (id int PRIMARY KEY, patient int, note text); INSERT INTO visit SELECT i, i % 300, 'secret of ' || i % 300 FROM generate_series(0, 2999) i");
$t->sql("CALL encrypt_column('visit', 'note', key => 'k', subject => 'patient')");
$t->sql('VACUUM FULL visit');

# SoftHSM may miss a token for a moment while another process changes it: then again, as
# the hint says.
sub subjects
{
	for (1 .. 4)
	{
		my ($status, $out, $err) = $t->sov('key', 'subjects', @_);
		return $out if $status eq '0';
		die $err unless $err =~ /no token fits/;
		sleep 1;
	}
	die 'the token stays away';
}

# What a query says, or the error, on one line.
sub says
{
	my ($sql, $db, $at) = @_;
	my (undef, $out, $err) = capture(as("$t->{bindir}/psql", '-X', '-q', '-At', '-h', $d, '-p', $at // $t->{port}, '-U', 'postgres', '-d', $db // 'postgres', '-c', $sql));
	return "$out$err" =~ s/\n.*//sr;
}
sub person { my ($who, @where) = @_; return says("SELECT DISTINCT note FROM visit WHERE patient = $who", @where); }
# The dump from before, or a part of it, into a database.
sub load_dump
{
	my ($db, @part) = @_;
	my ($status, $out, $err) = capture(as('env', 'PGOPTIONS=-c sovereign.input=ciphertext', "$t->{bindir}/pg_restore", '-h', $d, '-p', $t->{port}, '-U', 'postgres', '-d', $db, '-e', @part, "$d/dump"));
	die "$out$err" if $status ne '0';
}
my $others = "SELECT count(*) FILTER (WHERE note = 'secret of ' || patient) FROM visit WHERE patient NOT IN (6, 7, 8, 9)";

# --- what is kept from before: a backup, a dump, the data directory, the providers, the token ---
$t->sov_ok('backup');
run_as("$t->{bindir}/pg_dump", '-h', $d, '-p', $t->{port}, '-U', 'postgres', '-Fc', '-f', "$d/dump", 'postgres');
my $lsn = $t->sql('SELECT pg_create_restore_point($$before$$)');
$t->archive;
$t->stop($data, 'fast');
run_as('cp', '-a', $data, "$d/old_data");
run_as('cp', '-a', "$d/tokens", "$d/old_tokens");
run_as('mkdir', "$d/old");
run_as('cp', '-a', "$d/$_", "$d/old/$_") for qw(a b c);
$t->start($data);

# --- a standby, a session that has everything open, and one that erases ---
my $port = SovTest::free_port();
run_as("$t->{bindir}/pg_basebackup", '-h', $d, '-p', $t->{port}, '-U', 'postgres', '-D', "$d/standby", '-R', '-X', 'stream', '-c', 'fast');
run_as("$t->{bindir}/pg_ctl", '-D', "$d/standby", '-l', "$d/standby.log", '-o', "-c port=$port -c archive_mode=off", '-w', 'start');
$t->{clusters}{"$d/standby"} = 1;
my $standby = IPC::Open2::open2(my $told, my $asked, as('sh', '-c', "exec $t->{bindir}/psql -X -q -At -h $d -p $port -U postgres -d postgres 2>/dev/null"));
print $asked "SELECT note FROM visit WHERE id = 7;\n";
$asked->flush;
is(scalar(<$told>), "secret of 7\n", 'a standby reads a person');
is(person(7), 'secret of 7', 'a person is read');
my $first = $t->sql('SELECT epoch FROM subject_epoch');
my $session = IPC::Open2::open2(my $answers, my $ask, as('sh', '-c', "exec $t->{bindir}/psql -X -q -At -h $d -p $t->{port} -U postgres -d postgres 2>/dev/null"));
my $read = sub { print $ask "SELECT note FROM visit WHERE id = 7;\n"; $ask->flush; return scalar(<$answers>); };
is($read->(), "secret of 7\n", 'also by a session that stays');

# What looks like a key in the memory for secrets of a process, which is kept out of core dumps.
sub secrets
{
	my ($pid) = @_;
	my %found;
	open(my $mem, '<:raw', "/proc/$pid/mem") or die;
	my $maps = slurp("/proc/$pid/smaps");
	while ($maps =~ /^([0-9a-f]+)-([0-9a-f]+) rw(?:(?!^VmFlags).)*^VmFlags:[^\n]* dd/msg)
	{
		my ($from, $to) = map { unpack('Q>', pack('H16', substr("0" x 16 . $_, -16))) } $1, $2;
		next unless sysseek($mem, $from, 0) && sysread($mem, my $bytes, $to - $from);
		for (my $at = 0; $at < length $bytes; $at += 32)
		{
			my $piece = substr($bytes, $at, 32);
			$found{$piece} = 1 if $piece !~ /^\0/ && keys %{ { map { $_ => 1 } split //, $piece } } > 20;
		}
	}
	return %found;
}
SKIP:
{
	skip 'only root may read the memory of other processes', 3 if $> != 0;
	print $ask "SELECT pg_backend_pid();\n";
	$ask->flush;
	chomp(my $pid = <$answers>);
	my %open = secrets($pid);
	cmp_ok(scalar(keys %open), '>', 256, 'keys of persons are in memory');
	$t->sql('SELECT lock()');
	is(scalar(grep { $open{$_} } keys %{ { secrets($pid) } }), 0, 'and are not after lock(), also of a session that does nothing');
	$t->sql('SELECT unlock()');
	is($read->(), "secret of 7\n", 'it goes on after unlock()');
}
$t->sql("CALL shred_subject('k', '7')");
is($t->sql("SELECT count(*) FROM erasures WHERE state = 'complete'"), 1, 'and erased');
print $ask "\\set VERBOSITY sqlstate\nSELECT note FROM visit WHERE id = 7;\nSELECT 'end', :'SQLSTATE';\n";
$ask->flush;
is(scalar(<$answers>), "end|42501\n", 'which has lost the key too');
$t->sql("DO \$\$ BEGIN WHILE EXISTS (SELECT FROM pg_stat_replication WHERE replay_lsn < pg_current_wal_flush_lsn()) LOOP PERFORM pg_sleep(0.02), pg_stat_clear_snapshot(); END LOOP; END \$\$");
like(says('SELECT note FROM visit WHERE id = 7', undef, $port), qr/was destroyed/, 'a session of the standby that begins afterwards does not read him');
print $asked "\\set VERBOSITY sqlstate\nSELECT note FROM visit WHERE id = 7;\nSELECT 'end', :'SQLSTATE';\nSELECT note FROM visit WHERE id = 8;\n";
$asked->flush;
is(scalar(<$told>) . <$told>, "end|42501\nsecret of 8\n", 'and so has the standby, which reads the others');
close $asked;
waitpid($standby, 0);
$t->stop("$d/standby", 'fast');

# --- promoted copies of it, which do not know of each other ---
my @copies = ([ "$d/standby", $port ], [ "$d/standby2", SovTest::free_port() ]);
run_as('cp', '-a', "$d/standby", "$d/standby2");
for (@copies)
{
	my ($where, $at) = @$_;
	run_as("$t->{bindir}/pg_ctl", '-D', $where, '-l', "$where.log", '-o', "-c port=$at -c archive_mode=off -c wal_retrieve_retry_interval=200ms", '-w', 'start');
	$t->{clusters}{$where} = 1;
	run_as("$t->{bindir}/pg_ctl", '-D', $where, '-w', 'promote');
	is(says("INSERT INTO visit VALUES (9001, 9001, 'secret of 9001') RETURNING note", undef, $at), 'secret of 9001', 'a promoted copy meets a new person');
}
is(says('CHECKPOINT; SELECT timeline_id, (SELECT oid FROM pg_database WHERE datname = current_database()) FROM pg_control_checkpoint()', undef, $copies[0][1]),
	says('CHECKPOINT; SELECT timeline_id, (SELECT oid FROM pg_database WHERE datname = current_database()) FROM pg_control_checkpoint()', undef, $copies[1][1]), 'two of them are not told apart by timeline or database');
my $value = says('SELECT encrypted_text_out(note)::text FROM visit WHERE id = 9001', undef, $copies[0][1]);
like(says("SET sovereign.input = ciphertext; INSERT INTO visit VALUES (9002, 9001, '$value') RETURNING note", undef, $copies[1][1]),
	qr/^ERROR:  the key of the person to whom a value belongs is not in this database/, 'yet a value of the one is not misread in the other');
$t->stop("$d/standby2", 'fast');

# --- a subscriber: in a database of the other copy ---
sub there { my ($sql) = @_; return says($sql, 'subscriber', $port); }
sub until_there { my ($sql, $re, $name) = @_; my $got; for (1 .. 200) { last if ($got = there($sql)) =~ $re; sleep 0.05; } like($got, $re, $name); }
says('CREATE DATABASE subscriber', undef, $port);
there($_) for 'CREATE EXTENSION pg_sovereign', 'CREATE TABLE visit (id int PRIMARY KEY, patient int, note encrypted_text)', 'ALTER DATABASE subscriber SET sovereign.input = ciphertext';
$t->sql('CREATE PUBLICATION visits FOR TABLE visit');
$t->sql('CREATE PUBLICATION keys FOR TABLE key_domain, key_version, subject_epoch, subject_group, erasure');
there("CREATE SUBSCRIPTION visits CONNECTION 'host=$d port=$t->{port} user=postgres dbname=postgres' PUBLICATION visits");
until_there('SELECT count(*) FROM visit', qr/^3000$/, 'a subscriber gets the values');
like(there('SELECT note FROM visit WHERE id = 8'), qr/^ERROR:  the key of the person to whom a value belongs is not in this database/, 'and cannot read them');
there('ALTER SUBSCRIPTION visits ADD PUBLICATION keys');
until_there('SELECT note FROM visit WHERE id = 8', qr/^secret of 8$/, 'with the tables of keys it can');
until_there('SELECT note FROM visit WHERE id = 7', qr/was destroyed \(erasure 1/, 'but not who was erased');
$t->sql("INSERT INTO visit VALUES (9003, 9003, 'secret of 9003')");
until_there('SELECT note FROM visit WHERE id = 9003', qr/^secret of 9003$/, 'and new persons');
$t->sql('DELETE FROM visit WHERE id = 9003');
close $ask;
waitpid($session, 0);
like(person(7), qr/key of the person to whom this value belongs was destroyed \(erasure 1/, 'nobody reads him in the live database');
is($t->sql($others), 2960, 'but all others');
is($t->sql('SELECT epoch FROM subject_epoch') - $first, 1, 'in a new epoch');
is(epoch_keys(), 1, 'whose key is the only one at the custodian');
like($t->sql('SELECT text FROM erasures'), qr/^Certificate of erasure 1\n.*key k, person [0-9a-f]{32}.*Columns covered: public\.visit\.note\nCustodian: (?:pkcs11 token controller|file).*Grade: $grade\nKey of epoch 1 \([0-9a-f-]{36}\) destroyed: 20.*Repository: test, keyring \d+$/s, 'the certificate');
$t->sov_is('nothing is left to do', 0, qr/nothing was left to do/, 'key', 'subjects');
$t->sov_is('the providers are whole', 0, qr/./, 'verify', '--deep');
like($t->sov_ok('key', 'where'), qr/keys of persons, epoch 2, erasable \($grade\) at .*no other root key is needed/s, 'key where tells of it');
there('ALTER SUBSCRIPTION visits DISABLE');
for (1 .. 200) { last if $t->sql('SELECT count(*) FROM pg_stat_replication') eq '0'; sleep 0.05; }
$t->sql('CREATE DATABASE twin TEMPLATE postgres');
$t->sql("BEGIN; SELECT erase_persons('k', '{6}'); PREPARE TRANSACTION 'erasure'");
is(person(6), 'secret of 6', 'an erasure that is prepared is none yet');
$t->sql("COMMIT PREPARED 'erasure'");
like(person(6), qr/was destroyed/, 'until somebody commits it');
$t->sov_is('a copy of the database hangs on the same epoch', 6, qr/database twin is a copy of this one/, 'key', 'subjects');
$t->sql('DROP DATABASE twin');
subjects();
there('ALTER SUBSCRIPTION visits ENABLE');
until_there('SELECT note FROM visit WHERE id = 6', qr/was destroyed \(erasure 2/, 'an erasure comes to the subscriber');
is(there('SELECT note FROM visit WHERE id = 8'), 'secret of 8', 'which reads the others');
there('DROP SUBSCRIPTION visits');
$t->stop("$d/standby", 'fast');

# --- killed in the middle ---
$t->sql("SELECT erase_persons('k', '{8}')");
like(person(8), qr/was destroyed \(erasure 3/, 'from the first step on nobody reads the next one');
for my $seconds (0.03, 0.08, 0.15, 0.25)
{
	$t->sov_killed($seconds, 'key', 'subjects');
	is($t->sql($others), 2960, "killed after $seconds s: all others are read");
}
subjects();
is($t->sql("SELECT string_agg(state, ' ') FROM erasures"), 'complete complete complete', 'run again it finishes');
is(epoch_keys(), 1, 'and leaves no key behind');

# --- providers away: it is said, and goes on later ---
rename "$d/$_", "$d/gone_$_" for qw(a b);
like(says("CALL shred_subject('k', '9')"), qr/ERROR:  the erasure is not complete/, 'without enough providers the old key is not destroyed');
like(person(9), qr/was destroyed/, 'though nobody reads the person here');
is($t->sql("SELECT count(*) FROM erasures WHERE state = 'not complete'"), 1, 'which shows');
rename "$d/gone_$_", "$d/$_" for qw(a b);
$t->sql("UPDATE subject_epoch SET beside = 'file:/elsewhere'");
$t->sov_is('a place where the old key never was is no proof that it is gone', 6, qr/was made elsewhere, and is not destroyed yet\nhint: run: pg_sovereign key subjects --from 'file:\/elsewhere'/, 'key', 'subjects');
is($t->sql("SELECT count(*) FROM erasures WHERE state = 'complete'"), 3, 'and no certificate says so');
$t->sql("UPDATE subject_epoch SET beside = '$epochs'");
$t->sql('CALL finish_erasures()');
is($t->sql("SELECT count(*) FROM erasures WHERE state = 'complete'"), 4, 'and is made good');

# --- the dump from before: its rows here, and all of it in a database beside ---
$t->sql('DELETE FROM visit');
load_dump('postgres', '-a', '-t', 'visit');
is($t->sql($others), 2960, 'rows of a dump from before come back and are read');
like(person($_), qr/was destroyed \(erasure/, "but not those of person $_") for 7, 8;
$t->sql('CREATE DATABASE loaded');
load_dump('loaded');
like(person($_, 'loaded'), qr/^ERROR:  .*key of an epoch of persons: /, "the whole dump in another database: person $_ is not read") for 7, 10;
$t->sov_is('nor does it get the keys of now beside the original', 6, qr/database loaded: database postgres is a copy of this one/, 'key', 'subjects');
$t->sql('DROP DATABASE loaded');
$t->archive;
$t->stop($data, 'fast');

# --- the old data directory, with the root key of now and the key of the present epoch ---
sub unreadable
{
	my ($what) = @_;
	for (7, 8, 9, 10) { unlike(person($_), qr/secret/, "$what: person $_ is not read"); }
}
my $quiet = "-c archive_mode=off";
$t->start("$d/old_data", $quiet);
unreadable('the old data directory');
$t->stop("$d/old_data");

# and with every byte of the providers as they were
rename "$d/$_", "$d/now_$_" for qw(a b c);
run_as('cp', '-a', "$d/old/$_", "$d/$_") for qw(a b c);
run_as('mv', "$d/state", "$d/now_state");
$t->start("$d/old_data", $quiet);
$t->sov('key', 'subjects');
unreadable('with the old providers');
$t->stop("$d/old_data");

# nothing but the key is in the way: with the old token everything opens
run_as('mv', "$d/tokens", "$d/now_tokens");
run_as('cp', '-a', "$d/old_tokens", "$d/tokens");
$t->start("$d/old_data", $quiet);
is(person(7), 'secret of 7', 'a copy of the destroyed key would bring it all back, which is the limit that the certificate names');
$t->stop("$d/old_data");
system('rm', '-rf', "$d/tokens", "$d/state", map { "$d/$_" } qw(a b c));
run_as('mv', "$d/now_$_", "$d/$_") for qw(tokens state a b c);

# --- the old data directory, or a restore of the old backup, with the repository of now ---
$t->start("$d/old_data", $quiet);
like(subjects(), qr/restored from before an erasure/, 'the old data directory gets the keys of now');
is($t->sql($others), 2960, 'all others are read');
like(person(7), qr/was destroyed \(erasure 1/, 'the erased one is not');
$t->stop("$d/old_data");

$t->sov_ok('restore', '-D', "$d/back", '--target-name', 'before');
$t->start("$d/back", $quiet);
unreadable('the old backup');
subjects();
is($t->sql($others), 2960, 'restored from the old backup: all others are read');
like(person($_), qr/was destroyed \(erasure/, "but not person $_") for 7, 8, 9;
$t->sql("INSERT INTO visit SELECT i, i, 'secret of ' || i FROM generate_series(5000, 5400) i");
is($t->sql($others), 3361, 'and new persons come in');
is($t->sql('SELECT count(*) - count(DISTINCT number) FROM subject'), 0, 'under numbers of their own');
like(says("CALL shred_subject('k', '10')"), qr/ERROR:  the erasure is not complete/, 'a copy does not destroy what the original may need');
$t->sov_is('which it says', 6, qr/is a copy .* --adopt/s, 'key', 'subjects');
$t->sov_is('until it is told that it takes its place', 0, qr/ends its epochs.*is destroyed/s, 'key', 'subjects', '--adopt');
like(person(10), qr/was destroyed \(erasure 5/, 'and can be erased there');

# --- the keys of epochs go to another place ---
my $second = "file:$d/tokens/second";
my $living = "$others AND patient <> 10";
my $kept = $t->sql($living);
spit($t->conf, slurp($t->conf) =~ s/^epochs = .*\n/epochs = $second\n/mr);
subjects('--from', $epochs);
is(epoch_keys(), 0, 'with --from no key is left at the former place');
is(scalar(() = glob("$d/tokens/second.epoch-*")), 1, 'one is at the new place');
is($t->sql("SELECT string_agg(beside, ' ') FROM subject_epoch"), $second, 'which the epoch says');
$t->stop("$d/back", 'fast');
$t->start("$d/back", $quiet);
is($t->sql($living), $kept, 'all are read with that');
like(person(10), qr/was destroyed \(erasure 5/, 'but who was erased');

# --- a new root key: what lies beside the old one would not be found any more ---
$t->sov_ok('key', 'create-root', "$d/new.key");
spit($t->conf, slurp($t->conf) =~ s/^epochs = .*\n//mr);
$t->sov_is('the root key does not change while keys of epochs are beside it', 6, qr/erasable keys of persons are beside the root key.*hint: write  epochs = file:/s, 'key', 'rotate-root', "file:$d/new.key");
is(scalar(my @roots = $t->needed_roots), 1, 'and nothing is wrapped anew');
spit($t->conf, slurp($t->conf) =~ s/^root = .*\n/$&epochs = $second\n/mr);
$t->sov_is('with their place in the configuration it does', 0, qr/both root keys open everything/, 'key', 'rotate-root', "file:$d/new.key");

# --- the dump is all that is left, and the repository ---
$t->sql('CREATE DATABASE loaded');
load_dump('loaded');
$t->sql('DROP EXTENSION pg_sovereign CASCADE');
like(person(11, 'loaded'), qr/^ERROR:  .*key of an epoch of persons: /, 'the dump alone is not read');
subjects();
is(person(11, 'loaded'), 'secret of 11', 'with the keys of now from the repository it is');
like(person($_, 'loaded'), qr/was destroyed \(erasure/, "but not person $_") for 7, 10;

done_testing;
