// A Node application that knows nothing of encryption.  Arguments: where the module
// pg is, host, port, database.  Prints TAP lines without a plan.
const { Client } = require(process.argv[2]);

function ok(condition, name) {
	console.log((condition ? 'ok' : 'not ok') + ' - node-postgres: ' + name);
}

(async () => {
	const client = new Client({ host: process.argv[3], port: +process.argv[4], database: process.argv[5], user: 'postgres' });
	await client.connect();
	await client.query('INSERT INTO client (id, a, c, d, f, g, h, i, j, l, b) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)',
		[1, 'Élodie', true, -5, '1999-12-31', new Date('2020-01-01T10:00:00Z'), 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '1.50', 3.25, { a: [1, 'x'] }, Buffer.from([0, 255])]);
	await client.query("INSERT INTO client (id, a) VALUES (2, '')");
	let r = (await client.query('SELECT * FROM client WHERE id = $1', [1])).rows[0];
	ok(r.a === 'Élodie' && r.c === true && r.d === -5 && r.j === 3.25 && r.i === '1.50', 'text, bool, int4, float8, numeric as for plain columns');
	ok(r.f instanceof Date && r.f.getFullYear() === 1999 && r.g.getTime() === Date.UTC(2020, 0, 1, 10), 'dates are dates');
	ok(r.l.a[1] === 'x' && r.b.equals(Buffer.from([0, 255])) && r.h.startsWith('a0eebc99'), 'jsonb is an object, bytea a buffer');
	ok(r.e === null, 'NULL');
	r = await client.query({ name: 'look', text: 'SELECT id FROM client WHERE a = $1 AND d = $2', values: ['Élodie', -5] });
	r = await client.query({ name: 'look', text: 'SELECT id FROM client WHERE a = $1 AND d = $2', values: ['Élodie', -5] });
	ok(r.rows.length === 1, 'a named statement, twice');
	r = await client.query('UPDATE client SET a = $1 WHERE a = $2 RETURNING a, f', ['Zoé', 'Élodie']);
	ok(r.rows[0].a === 'Zoé' && r.rows[0].f instanceof Date, 'UPDATE ... RETURNING');
	r = await client.query('SELECT id FROM client WHERE a = ANY($1) OR a = $2', [['Zoé', 'x'], '']);
	ok(r.rows.length === 2, 'ANY with an array parameter');
	const fields = (await client.query('SELECT a, d, f FROM client LIMIT 0')).fields.map((f) => f.dataTypeID);
	ok(fields.join() === '25,23,1082', 'the types are told as text, int4, date');
	await client.query('DELETE FROM client');
	await client.end();
})().catch((e) => { console.log('not ok - node-postgres: ' + e.message); process.exit(1); });
