--
-- The view "providers": from the configuration file and the spool
--
SELECT * FROM providers;
\! cp $SOV_TEST_DIR/sov.conf $SOV_TEST_DIR/sov.away
\! mkdir -p $SOV_TEST_DIR/state/spool/ouest $SOV_TEST_DIR/p1 $SOV_TEST_DIR/p2 $SOV_TEST_DIR/p3
\! printf '[repository]\nname = demo\nneeded = 2\nshards = 3\nstate-directory = %s/state\n' $SOV_TEST_DIR >> $SOV_TEST_DIR/sov.conf
\! for p in nord:1 ouest:2 sud:3; do printf '[provider.%s]\ntype = folder\npath = %s/p%s\n' ${p%:*} $SOV_TEST_DIR ${p#*:} >> $SOV_TEST_DIR/sov.conf; done
\! printf '[provider.ancien]\ntype = folder\npath = %s/p4\nstate = drain\n' $SOV_TEST_DIR >> $SOV_TEST_DIR/sov.conf
\! head -c 1000 /dev/zero > $SOV_TEST_DIR/state/spool/ouest/a; head -c 500 /dev/zero > $SOV_TEST_DIR/state/spool/ouest/b
SELECT name, type, state, regexp_replace(location, '^.*/', '.../') AS location, owed_objects, owed_bytes FROM providers;
\! mv $SOV_TEST_DIR/sov.conf $SOV_TEST_DIR/sov.new
SELECT * FROM providers;
\! mv $SOV_TEST_DIR/sov.away $SOV_TEST_DIR/sov.conf
