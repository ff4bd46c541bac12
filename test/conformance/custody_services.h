/*
 * custody_services.h - the part of custodians.c about services: the stub of Vault's API and
 * PyKMIP, what they refuse, what lies in between, and what the helper's memory keeps.
 * Included once, behind the suite that it calls.
 */
#ifndef CUSTODY_SERVICES_H
#define CUSTODY_SERVICES_H

#define VAULT_TOKEN "hvs.good-0123456789-abcdef"	/* of the stub */

/* --- services --- */

static void
text_to(const char *name, const char *text)
{
	char		path[300];
	FILE	   *f;

	snprintf(path, sizeof path, "%s/%s", dir, name);
	f = fopen(path, "w");
	fprintf(f, "%s\n", text);
	fclose(f);
	chmod(path, 0600);
}

/* The number in a file, which appears within 10 seconds; 0: it does not. */
static int
number_in(const char *name)
{
	char		path[300];
	int			n = 0;

	snprintf(path, sizeof path, "%s/%s", dir, name);
	for (int i = 0; n == 0 && i < 200; i++)
	{
		FILE	   *f = fopen(path, "r");

		if (f != NULL && fscanf(f, "%d", &n) != 1)
			n = 0;
		if (f != NULL)
			fclose(f);
		if (n == 0)
			usleep(50000);
	}
	return n;
}

static void
refuses(const char *what, const char *uri, const char *message, const char *hint, bool retryable)
{
	struct sov_custodian *c = NULL;
	enum sov_code rc;

	sov_error_clear(&err);
	rc = sov_custodian_open_here(uri, &c, &err);
	ok((rc == SOV_E_KEY || rc == SOV_E_CONFIG) && c == NULL && strstr(err.message, message) && strstr(err.hint, hint) && err.retryable == retryable, "%s: %s (%s)", what, err.message, err.hint);
	if (strncmp(uri, "vault:", 6) == 0)
		ok(strstr(err.message, VAULT_TOKEN) == NULL && strstr(err.hint, VAULT_TOKEN) == NULL, "%s: without the token", what);
	sov_custodian_close(c);
}

/* How often is this in the memory of a process?  -1: it cannot be read. */
static int
in_memory_of(int pid, const void *what, size_t len)
{
	char		path[60],
				line[300];
	static uint8_t chunk[1 << 20];
	unsigned long from,
				to;
	int			n = 0,
				mem;
	FILE	   *maps;

	snprintf(path, sizeof path, "/proc/%d/maps", pid);
	maps = fopen(path, "r");
	snprintf(path, sizeof path, "/proc/%d/mem", pid);
	mem = open(path, O_RDONLY);
	if (maps == NULL || mem < 0)
		n = -1;
	while (n >= 0 && fgets(line, sizeof line, maps))
	{
		if (sscanf(line, "%lx-%lx rw", &from, &to) != 2 || strstr(line, " rw") == NULL)
			continue;
		for (unsigned long at = from; at < to; at += sizeof chunk - 64)
		{
			size_t		want = to - at < sizeof chunk ? to - at : sizeof chunk;
			ssize_t		got = pread(mem, chunk, want, (off_t) at);

			for (uint8_t *p = chunk; got > 0 && (p = memmem(p, (size_t) (chunk + got - p), what, len)) != NULL; p++)
				n++;
		}
	}
	if (maps != NULL)
		fclose(maps);
	if (mem >= 0)
		close(mem);
	return n;
}

/* The only one: the helper. */
static int
child(void)
{
	char		path[60];
	int			pid = 0;
	FILE	   *f;

	snprintf(path, sizeof path, "/proc/self/task/%d/children", (int) getpid());
	f = fopen(path, "r");
	if (f != NULL && fscanf(f, "%d", &pid) != 1)
		pid = 0;
	if (f != NULL)
		fclose(f);
	return pid;
}

/* What a helper got over the network stays nowhere in its memory. */
static void
forgets(const char *name, const char *uri, const char *token)
{
	struct sov_custodian *c = NULL;
	uint8_t		key[32],
				back[32],
				blob[SOV_KWP_MAX];
	char		text[45];
	size_t		len;
	int			n;

	if (!ok_rc(sov_random(key, sizeof key, &err), err, "%s: a key", name) || !ok_rc(sov_custodian_open(uri, &c, &err), err, "%s: a helper", name))
		return;
	ok(c->ops->wrap(c, key, blob, &len, &err) == SOV_OK && c->ops->unwrap(c, blob, len, back, &err) == SOV_OK, "%s: wraps and unwraps", name);
	EVP_EncodeBlock((unsigned char *) text, key, 32);
	n = child() ? in_memory_of(child(), c->root_id, 16) : -1;
	if (n < 0)
		printf("ok %d - %s # SKIP the memory of the helper cannot be read\n", ++tap_n, name);
	else
	{
		ok(n > 0, "%s: its memory is looked through (the root key's id is there)", name);
		ok(in_memory_of(child(), key, 32) == 0, "%s: the key is not in it", name);
		ok(in_memory_of(child(), text, 40) == 0, "%s: nor its base64", name);
		if (token != NULL)
			ok(in_memory_of(child(), token, strlen(token)) == 0, "%s: nor the token", name);
	}
	sov_custodian_close(c);
}

static char vault_at[100];		/* "https://127.0.0.1:PORT" */

static const char *
vault_uri(const char *key, const char *token_file, const char *more)
{
	static char uri[4][600];
	static int	n;

	n = (n + 1) % 4;
	snprintf(uri[n], sizeof uri[n], "vault:%s/transit/keys/%s?token-file=%s/%s%s", vault_at, key, dir, token_file, more);
	return uri[n];
}

/* POST to the stub by curl, as an administrator would. */
static int
vault_post(const char *path, const char *body)
{
	return shell("curl -sf --cacert %s/ca.pem -H 'X-Vault-Token: " VAULT_TOKEN "' -H 'X-Vault-Request: true' -d '%s' %s/v1/transit/keys/%s", dir, body, vault_at, path);
}

static void
vault_refuses(const char *ca)
{
	struct { const char *mode, *message, *hint; bool retry; } t[] = {
		{"sealed", "is sealed", "unseal", true},
		{"rubbish", "not of its protocol", "is it Vault", true},
		{"cut", "could not be asked", "work goes on", true},
		{"long", "longer than", "", true},
		{"standby", "answers 307", "standby", true},
		{"echo", "answers 500", "log", true},
		{"slow", "timed out", "work goes on", true},
	};

	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++)
	{
#ifdef __SANITIZE_ADDRESS__
		if (strcmp(t[i].mode, "slow") == 0)
			continue;
#endif
		text_to("mode", t[i].mode);
		refuses(t[i].mode, vault_uri("one", "token", ca), t[i].message, t[i].hint, t[i].retry);
	}
	text_to("mode", "ok");
	refuses("an absent key", vault_uri("absent", "token", ca), "no such key", "create-root", false);
	refuses("an absent namespace", vault_uri("one", "token", "&namespace=nobody"), "certificate", "ca-file", true);
	refuses("an expired token", vault_uri("one", "expired", ca), "does not take the token", "new token", false);
	refuses("a token that may not", vault_uri("one", "reader", ca), "does not permit", "policy", false);
	refuses("no token file", vault_uri("one", "absent", ca), "could not open", "0600", false);
	refuses("an unknown authority", vault_uri("one", "token", ""), "certificate", "ca-file", true);
	refuses("a token in the URI", vault_uri("one", "token", "&token=" VAULT_TOKEN), "not known", "for example", false);
	refuses("without TLS", "vault:http://127.0.0.1/transit/keys/x?token-file=/t", "https", "for example", false);
	refuses("nobody there", "vault:https://127.0.0.1:1/transit/keys/x?token-file=/t", "/t", "0600", false);
	shell("chmod 0644 %s/reader", dir);
	refuses("a token that others may read", vault_uri("one", "reader", ca), "read by others", "chmod", false);
	ok(sov_custodian_create_here(vault_uri("one", "token", ca), &err) == SOV_E_EXISTS, "vault: a root key is never made over another: %s", err.message);
}

/* Vault's own rotation, an older version retired, and a key that may be taken out. */
static void
vault_versions(const char *ca)
{
	struct sov_custodian *c = NULL;
	uint8_t		key[32] = {1},
				back[32],
				id[16],
				blob[SOV_KWP_MAX];
	char		text[256];
	size_t		len;

	ok_rc(sov_custodian_create_here(vault_uri("turned", "token", ca), &err), err, "vault: a third root key");
	if (!ok_rc(sov_custodian_open(vault_uri("turned", "token", ca), &c, &err), err, "vault: opened"))
		return;
	ok(c->ops->wrap(c, key, blob, &len, &err) == SOV_OK && c->grade == SOV_GRADE_DESTROY, "vault: wrapped by version 1");
	memcpy(id, c->root_id, 16);
	ok(vault_post("turned/rotate", "{}") == 0 && vault_post("turned/config", "{\"exportable\":true}") == 0, "vault: its administrator turns the key, and makes it exportable");
	ok(c->ops->unwrap(c, blob, len, back, &err) == SOV_OK && memcmp(key, back, 32) == 0, "vault: still opened");
	text_to("mode", "other");
	ok(c->ops->unwrap(c, blob, len, back, &err) == SOV_E_KEY && strstr(err.message, "protocol"), "vault: what is no key is not taken: %s", err.message);
	text_to("mode", "sealed");
	ok(c->ops->unwrap(c, blob, len, back, &err) == SOV_E_KEY && err.retryable && strstr(err.message, "sealed"), "vault: sealed in between: %s", err.message);
	text_to("mode", "gone");
	ok(c->ops->unwrap(c, blob, len, back, &err) == SOV_E_KEY && !err.retryable && strstr(err.message, "no such key"), "vault: deleted in between: %s", err.message);
	text_to("mode", "ok");
	ok(c->ops->unwrap(c, blob, len, back, &err) == SOV_OK, "vault: and goes on");
	sov_custodian_close(c);
	if (!ok_rc(sov_custodian_open(vault_uri("turned", "token", ca), &c, &err), err, "vault: opened again"))
		return;
	c->ops->describe(c, text, sizeof text);
	ok(memcmp(id, c->root_id, 16) == 0 && strstr(text, "version 2") && strstr(text, "EXPORTABLE") && c->grade == SOV_GRADE_EFFORT, "vault: the same root key, and it is said: %s", text);
	ok(vault_post("turned/config", "{\"min_decryption_version\":2}") == 0, "vault: its administrator retires version 1");
	ok(c->ops->unwrap(c, blob, len, back, &err) == SOV_E_KEY && strstr(err.message, "retired") && strstr(err.hint, "min_decryption_version"), "vault: %s", err.message);
	sov_custodian_close(c);
}

static void
vault(void)
{
	char		ca[320],
				team[350];
	const char *uri[2];
	int			port;

	if (shell("python3 -c 'import cryptography' 2>/dev/null || /usr/bin/python3 -c 'import cryptography' 2>/dev/null") != 0)
	{
		printf("ok %d - Vault's stub # SKIP python3-cryptography is not installed (test/setup.sh tests)\n", ++tap_n);
		return;
	}
	ok(shell("bash -c '. test/servers/common.sh %s && make_certificate' && (/usr/bin/python3 test/servers/vault_stub.py %s >%s/vault.log 2>&1 & echo $! >%s/vault.pid)", dir, dir, dir, dir) == 0, "Vault's stub");
	port = number_in("port");
	snprintf(vault_at, sizeof vault_at, "https://127.0.0.1:%d", port);
	snprintf(ca, sizeof ca, "&ca-file=%s/ca.pem", dir);
	snprintf(team, sizeof team, "%s&namespace=team", ca);
	text_to("token", VAULT_TOKEN);
	text_to("reader", "reader");
	text_to("expired", "expired");
	uri[0] = vault_uri("one", "token", ca);
	uri[1] = vault_uri("one", "token", team);
	for (int i = 0; i < 2; i++)
		ok_rc(sov_custodian_create_here(uri[i], &err), err, "vault: a root key made inside");
	suite("vault", sov_custodian_open_here, uri[0], uri[1]);
	epochs("vault", vault_uri("one", "token", ca));
	forgets("vault", vault_uri("one", "token", ca), VAULT_TOKEN);
	vault_versions(ca);
	vault_refuses(ca);
	kill(number_in("vault.pid"), SIGTERM);
}

/* The KMIP server, its folder and its clients; what stands between listens at another port. */
static const char *
kmip_uri(int port, const char *key, const char *who)
{
	static char uri[4][700];
	static int	n;

	n = (n + 1) % 4;
	snprintf(uri[n], sizeof uri[n], "kmip:127.0.0.1:%d/%s?cert-file=%s/kmip/%s.crt&key-file=%s/kmip/%s.key&ca-file=%s/kmip/ca.pem", port, key, dir, who, dir, who, dir);
	return uri[n];
}

static void
kmip_clients(int port)
{
	char		uri[700];

	refuses("an absent key", kmip_uri(port, "absent", "client"), "no key \"absent\"", "create-root", false);
	refuses("another client", kmip_uri(port, "one", "other"), "for this client", "lets this client", false);
	refuses("a client of an unknown authority", kmip_uri(port, "one", "stranger"), "alert", "does not accept the client's certificate", true);
	refuses("a client's certificate that has ended", kmip_uri(port, "one", "expired"), "has expired", "issue a new one", true);
	refuses("no certificate", kmip_uri(port, "one", "nobody"), "could not open", "readable", false);
	snprintf(uri, sizeof uri, "kmip:127.0.0.1:%d/one?cert-file=%s/kmip/client.crt&key-file=%s/kmip/other.key&ca-file=%s/kmip/ca.pem", port, dir, dir, dir);
	refuses("another's private key", uri, "private key", "certificate in cert-file", true);
	snprintf(uri, sizeof uri, "kmip:127.0.0.1:%d/one?cert-file=%s/kmip/client.crt&key-file=%s/kmip/client.key&ca-file=%s/kmip/none.pem", port, dir, dir, dir);
	refuses("a server of an unknown authority", uri, "certificate", "ca-file", true);
	refuses("nobody there", kmip_uri(1, "one", "client"), "could not connect", "does the service run", true);
	shell("chmod 0644 %s/kmip/other.key", dir);
	refuses("a private key that others may read", kmip_uri(port, "one", "other"), "read by others", "chmod", false);
	ok(sov_custodian_create_here(kmip_uri(port, "one", "client"), &err) == SOV_E_EXISTS, "kmip: a root key is never made over another: %s", err.message);
}

static void
kmip_lies(int between)
{
	struct sov_custodian *c = NULL;
	uint8_t		key[32] = {1},
				blob[SOV_KWP_MAX];
	char		text[256];
	size_t		len;
	struct { const char *mode, *message, *hint; bool retry; } t[] = {
		{"rubbish", "not of its protocol", "is it a KMIP server", true},
		{"long", "not of its protocol", "is it a KMIP server", true},
		{"other", "not of its protocol", "is it a KMIP server", true},
		{"short", "not of its protocol", "is it a KMIP server", true},
		{"cut", "ended the connection", "Its log", true},
		{"denied", "this client may not", "the right", false},
		{"busy", "it refuses", "log", true},
		{"slow", "does not answer in time", "overloaded", true},
	};

	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++)
	{
#ifdef __SANITIZE_ADDRESS__
		if (strcmp(t[i].mode, "slow") == 0)
			continue;
#endif
		text_to("kmip/between", t[i].mode);
		refuses(t[i].mode, kmip_uri(between, "one", "client"), t[i].message, t[i].hint, t[i].retry);
	}
	text_to("kmip/between", "ok");
	refuses("a client of an unknown authority, by TLS 1.3", kmip_uri(between, "one", "stranger"), "ended", "accept the client's certificate", true);
	text_to("kmip/between", "inside");
	if (!ok_rc(sov_custodian_open_here(kmip_uri(between, "one", "client"), &c, &err), err, "kmip: a server that says that its key stays inside"))
		return;
	c->ops->describe(c, text, sizeof text);
	ok(strstr(text, "not extractable") && c->grade == SOV_GRADE_DESTROY, "kmip: %s", text);
	ok_rc(c->ops->wrap(c, key, blob, &len, &err), err, "kmip: wraps");
	text_to("kmip/between", "busy");
	ok(c->ops->unwrap(c, blob, len, key, &err) == SOV_E_KEY && err.retryable, "kmip: one that fails is not taken for a wrong root key: %s", err.message);
	sov_custodian_close(c);
}

/* Keys that somebody else made at the server, and one that was taken away while it served. */
static void
kmip_keys(int port)
{
	struct sov_custodian *c = NULL;
	uint8_t		key[32] = {1},
				blob[SOV_KWP_MAX];
	size_t		len;

	if (!ok_rc(sov_custodian_open_here(kmip_uri(port, "two", "client"), &c, &err), err, "kmip: a key"))
		return;
	ok_rc(c->ops->wrap(c, key, blob, &len, &err), err, "kmip: wraps");
	ok(shell("/usr/bin/python3 -W ignore -c \""
			 "from kmip.pie.client import ProxyKmipClient as C\n"
			 "from kmip.core.enums import *\n"
			 "U, R, A = [CryptographicUsageMask.ENCRYPT, CryptographicUsageMask.DECRYPT], RevocationReasonCode.CESSATION_OF_OPERATION, CryptographicAlgorithm.AES\n"
			 "d = '%s/kmip/'\n"
			 "with C('127.0.0.1', %d, d + 'client.crt', d + 'client.key', d + 'ca.pem', 'PROTOCOL_TLSv1_2', kmip_version=KMIPVersion.KMIP_1_4) as c:\n"
			 "  for name, bits in ('pre', 256), ('small', 128), ('twin', 256), ('twin', 256): c.create(A, bits, name=name, cryptographic_usage_mask=U)\n"
			 "  c.revoke(R, '2')\n\" >%s/kmip/keys.log 2>&1", dir, port, dir) == 0, "kmip: another program makes keys, and takes one back");
	ok(c->ops->unwrap(c, blob, len, key, &err) == SOV_E_KEY && !err.retryable && strstr(err.hint, "active"), "kmip: deactivated while it serves, which is a refusal: %s", err.message);
	sov_custodian_close(c);
	refuses("a key that was deactivated", kmip_uri(port, "two", "client"), "not active", "deactivated", false);
	refuses("a key that was never activated", kmip_uri(port, "pre", "client"), "not active", "create-root", false);
	refuses("a key of 128 bits", kmip_uri(port, "small", "client"), "256 bits", "create-root", false);
	refuses("two keys of one name", kmip_uri(port, "twin", "client"), "more than one", "name of its own", false);
	ok_rc(sov_custodian_create_here(kmip_uri(port, "pre", "client"), &err), err, "kmip: what was made and not activated is taken over");
	ok_rc(sov_custodian_open_here(kmip_uri(port, "pre", "client"), &c, &err), err, "kmip: and serves");
	sov_custodian_close(c);
}

static void
kmip(void)
{
	char		text[256];
	struct sov_custodian *c = NULL;
	int			port,
				status = shell("mkdir %s/kmip && bash test/servers/pykmip.sh %s/kmip >%s/kmip.why 2>&1", dir, dir, dir);

	if (WEXITSTATUS(status) == 77)
	{
		printf("ok %d - KMIP # SKIP PyKMIP is not installed (test/setup.sh tests)\n", ++tap_n);
		return;
	}
	ok(status == 0 && shell("/usr/bin/python3 test/servers/kmip_between.py %s/kmip >%s/between.log 2>&1 & echo $! >>%s/kmip/pids", dir, dir, dir) == 0, "PyKMIP");
	port = number_in("kmip/port");
	for (int i = 0; i < 2; i++)
		ok_rc(sov_custodian_create_here(kmip_uri(port, i ? "two" : "one", "client"), &err), err, "kmip: a root key made by the server");
	suite("kmip", sov_custodian_open_here, kmip_uri(port, "one", "client"), kmip_uri(port, "two", "client"));
	epochs("kmip", kmip_uri(port, "one", "client"));
	forgets("kmip", kmip_uri(port, "one", "client"), NULL);
	ok_rc(sov_custodian_open(kmip_uri(port, "one", "client"), &c, &err), err, "kmip: by the helper");
	if (c != NULL)
		c->ops->describe(c, text, sizeof text);
	ok(c != NULL && strstr(text, "EXTRACTABLE") && c->grade == SOV_GRADE_EFFORT, "kmip: PyKMIP does not say that its keys stay inside, and that is said: %s", text);
	sov_custodian_close(c);
	kmip_keys(port);
	kmip_clients(port);
	kmip_lies(number_in("kmip/between.port"));
	shell("bash -c 'while read -r pid; do kill -9 -- -$pid 2>/dev/null || kill -9 $pid; done <%s/kmip/pids'", dir);
}

#endif
