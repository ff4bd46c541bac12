# A Python application that knows nothing of encryption.  Arguments: the driver
# (psycopg2 or psycopg), a connection string.  Prints TAP lines without a plan.
import datetime
import decimal
import importlib
import io
import sys
import uuid

driver = importlib.import_module(sys.argv[1])
is_three = sys.argv[1] == "psycopg"


def ok(condition, name):
    print(("ok" if condition else "not ok") + " - " + sys.argv[1] + ": " + name)


con = driver.connect(sys.argv[2])
cur = con.cursor()
if not is_three:
    import psycopg2.extras
    psycopg2.extras.register_uuid()
json_of = (lambda v: driver.types.json.Jsonb(v)) if is_three else (lambda v: psycopg2.extras.Json(v))

row = {
    "id": 1, "a": "Élodie", "b": b"\x00\xff", "c": True, "d": -5, "e": 9000000000000000,
    "f": datetime.date(1999, 12, 31), "g": datetime.datetime(2020, 1, 1, 10, 0, tzinfo=datetime.timezone.utc),
    "h": uuid.UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), "i": decimal.Decimal("1.50"), "j": 3.25, "l": {"a": [1, "x"]},
}
names = list(row)
params = {**row, "l": json_of(row["l"])}
cur.execute("INSERT INTO client (%s) VALUES (%s)" % (", ".join(names), ", ".join("%%(%s)s" % n for n in names)), params)
cur.execute("INSERT INTO client (id, a) VALUES (2, '')")
cur.execute("INSERT INTO client (id) VALUES (%s)", (3,))
cur.execute("SELECT %s FROM client WHERE id = 1" % ", ".join(names))
got = dict(zip(names, cur.fetchone()))
for n in names:
    value = bytes(got[n]) if n == "b" else got[n]
    ok(value == row[n] and isinstance(value, type(row[n])), "column %s comes back as %s (%r)" % (n, type(row[n]).__name__, value))
cur.execute("SELECT a, d FROM client WHERE id IN (2, 3) ORDER BY id")
ok(cur.fetchall() == [("", None), (None, None)], "empty strings and NULL")

for n in ("a", "d", "e", "f", "g", "h", "i", "b"):
    cur.execute("SELECT id FROM client WHERE %s = %%s" % n, (row[n],))
    ok(cur.fetchall() == [(1,)], "WHERE %s = parameter" % n)
cur.execute("SELECT id FROM client WHERE a = %s::varchar AND d = %s::bigint AND d IN (%s, %s) AND a = ANY(%s)", ("Élodie", -5, -5, 7, ["x", "Élodie"]))
ok(cur.fetchall() == [(1,)], "parameters with casts, IN and ANY as ORMs write them")
cur.execute("SELECT id FROM client WHERE f BETWEEN %s AND %s AND a LIKE %s", (datetime.date(1999, 1, 1), datetime.date(2000, 1, 1), "Él%"))
ok(cur.fetchall() == [(1,)], "BETWEEN and LIKE")
cur.execute("SET enable_seqscan = off")
cur.execute("EXPLAIN SELECT id FROM client WHERE a = %s", ("Élodie",))
plan = "\n".join(r[0] for r in cur.fetchall())
ok("Index" in plan and "lodie" not in plan, "the index is used, and the plan shows no plaintext")
cur.execute("RESET enable_seqscan")

cur.execute("UPDATE client SET a = %s, d = d + 1 WHERE a = %s RETURNING a, d", ("Zoé", "Élodie"))
ok(cur.fetchall() == [("Zoé", -4)], "UPDATE ... RETURNING")
cur.execute("INSERT INTO client (id, a) VALUES (9, %s) ON CONFLICT (a) DO UPDATE SET d = 77 RETURNING id, d", ("Zoé",))
ok(cur.fetchall() == [(1, 77)], "ON CONFLICT")
cur.executemany("INSERT INTO client (id, a, f) VALUES (%s, %s, %s)", [(100 + i, "many%d" % i, datetime.date(2000, 1, 1 + i)) for i in range(20)])
cur.execute("SELECT count(*), max(f) FROM client WHERE id >= 100")
ok(cur.fetchone() == (20, datetime.date(2000, 1, 20)), "executemany")
con.commit()

named = con.cursor("server_side")
named.execute("SELECT a, f FROM client WHERE id >= 100 ORDER BY a")
ok(named.fetchmany(2) == [("many0", datetime.date(2000, 1, 1)), ("many1", datetime.date(2000, 1, 2))], "a server-side cursor")
named.close()
con.commit()

cur.execute("SAVEPOINT s")
try:
    cur.execute("INSERT INTO client (id, a) VALUES (500, %s)", ("Zoé",))
    ok(False, "unique violation")
except driver.errors.UniqueViolation as e:
    ok("Zo" not in str(e), "a unique violation shows no plaintext")
cur.execute("ROLLBACK TO s")

if is_three:
    with cur.copy("COPY client (id, a, f) FROM STDIN") as copy:
        copy.write_row((600, "copied", datetime.date(2001, 2, 3)))
    with cur.copy("COPY (SELECT a, f FROM client WHERE id = 600) TO STDOUT") as copy:
        out = b"".join(bytes(c) for c in copy).decode()
    cur.execute("SELECT a, f, d FROM client WHERE id = 1", binary=True)
    ok(cur.fetchone() == ("Zoé", datetime.date(1999, 12, 31), 77), "binary results")
    for _ in range(8):
        cur.execute("SELECT id FROM client WHERE a = %s", ("Zoé",), prepare=True)
    ok(cur.fetchall() == [(1,)], "a statement that the driver prepares")
else:
    cur.copy_expert("COPY client (id, a, f) FROM STDIN", io.StringIO("600\tcopied\t2001-02-03\n"))
    buffer = io.StringIO()
    cur.copy_expert("COPY (SELECT a, f FROM client WHERE id = 600) TO STDOUT", buffer)
    out = buffer.getvalue()
ok(out == "copied\t2001-02-03\n", "COPY in and out")
cur.execute("DELETE FROM client")
con.commit()
