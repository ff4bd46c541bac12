/*
 * custodian - the root key file: making it, what is refused, wrapping.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../providers/net.h"
#include "sov_credential.h"
#include "sov_custodian.h"
#include "sov_secret.h"
#include "tap.h"

static char dir[200];
static struct sov_error err;

static const char *
at(const char *name)
{
	static char path[4][300];
	static int	n;
	char	   *p = path[n++ % 4];

	snprintf(p, sizeof path[0], "%s/%s", dir, name);
	return p;
}

static enum sov_code
try_open(const char *name)
{
	struct sov_custodian *c = NULL;
	char		uri[400];
	enum sov_code rc;

	snprintf(uri, sizeof uri, "file:%s", at(name));
	sov_error_clear(&err);
	rc = sov_custodian_open(uri, &c, &err);
	sov_custodian_close(c);
	return rc;
}

static size_t
slurp(const char *name, char *buf, size_t cap)
{
	FILE	   *f = fopen(at(name), "r");
	size_t		n = fread(buf, 1, cap - 1, f);

	fclose(f);
	buf[n] = '\0';
	return n;
}

static void
spit(const char *name, const char *text, size_t n)
{
	int			fd = open(at(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (write(fd, text, n) != (ssize_t) n)
		perror("write");
	close(fd);
}

static void
wrapping(void)
{
	struct sov_custodian *a = NULL,
			   *b = NULL;
	uint8_t		id[16],
				key[32],
				back[32],
				blob[SOV_KWP_MAX];
	char		uri[400],
				text[600],
				id_text[37],
				key_text[64];
	size_t		len;
	struct stat st;

	ok_rc(sov_custodian_file_create(at("a.key"), id, &err), err, "a root key is made");
	ok(stat(at("a.key"), &st) == 0 && (st.st_mode & 07777) == 0600, "mode 0600");
	ok(sov_custodian_file_create(at("a.key"), id, &err) == SOV_E_EXISTS && err.hint[0], "it is never overwritten");
	ok_rc(sov_custodian_file_create(at("b.key"), id, &err), err, "a second one");
	snprintf(uri, sizeof uri, "file:%s", at("a.key"));
	ok_rc(sov_custodian_open(uri, &a, &err), err, "opened");
	snprintf(uri, sizeof uri, "file:%s", at("b.key"));
	ok_rc(sov_custodian_open(uri, &b, &err), err, "opened the other");
	ok(memcmp(b->root_id, id, 16) == 0 && memcmp(a->root_id, id, 16) != 0, "ids as they were made");
	memset(key, 7, sizeof key);
	ok_rc(a->ops->wrap(a, key, blob, &len, &err), err, "wrapped");
	ok(len == 40, "AES-KWP of 32 bytes takes 40");
	ok(a->ops->unwrap(a, blob, len, back, &err) == SOV_OK && memcmp(key, back, 32) == 0, "unwrapped");
	memset(back, 0, sizeof back);
	sov_uuid_text(id_text, b->root_id);
	ok(b->ops->unwrap(b, blob, len, back, &err) == SOV_E_KEY && strstr(err.message, id_text) && err.hint[0], "another root key refuses, and names itself");
	blob[20] ^= 1;
	ok(a->ops->unwrap(a, blob, len, back, &err) == SOV_E_KEY && back[0] == 0, "a damaged blob is refused");
	a->ops->describe(a, text, sizeof text);
	sov_uuid_text(id_text, a->root_id);
	ok(strstr(text, id_text) && strstr(text, at("a.key")), "described by file and id");
	slurp("a.key", text, sizeof text);
	snprintf(key_text, sizeof key_text, "%.20s", strstr(text, "key ") + 4);
	a->ops->describe(a, text, sizeof text);
	ok(strstr(text, key_text) == NULL, "without the key");
	sov_custodian_close(a);
	sov_custodian_close(b);
	ok(sov_custodian_file_create("relative", id, &err) == SOV_E_USAGE, "a relative path is refused");
	ok(sov_custodian_file_create(at("absent/x.key"), id, &err) == SOV_E_SYSTEM && err.hint[0], "an absent directory is not made");
	ok(sov_custodian_open("paper:x", &a, &err) == SOV_E_CONFIG && a == NULL, "an unknown custodian");
	ok(sov_custodian_open("pkcs11:token=x;object=y", &a, &err) == SOV_E_KEY && a == NULL, "one that needs the command, without it");
	ok(sov_custodian_open("file:relative", &a, &err) == SOV_E_CONFIG, "a relative file");
}

static void
refusals(void)
{
	char		good[600],
				bad[600];
	size_t		len = slurp("a.key", good, sizeof good);
	int			wrong = 0;

	ok(try_open("none.key") == SOV_E_KEY && strstr(err.hint, "create-root"), "an absent file");
	for (int bit = 0; bit < 6; bit++)
	{
		chmod(at("a.key"), (mode_t) (0600 | 1 << bit));
		wrong += try_open("a.key") != SOV_E_KEY || !strstr(err.hint, "chmod 0600");
	}
	ok(wrong == 0, "any permission of group or world");
	chmod(at("a.key"), 0400);
	ok_rc(try_open("a.key"), err, "mode 0400 is good");
	ok(symlink(at("a.key"), at("link.key")) == 0 && try_open("link.key") == SOV_E_KEY && strstr(err.message, "symbolic"), "a symbolic link");
	ok(mkdir(at("dir.key"), 0700) == 0 && try_open("dir.key") == SOV_E_KEY && strstr(err.message, "regular"), "a directory");
	ok(mkfifo(at("fifo.key"), 0600) == 0 && try_open("fifo.key") == SOV_E_KEY, "a fifo, without waiting");
	spit("odd.key", "hello\n", 6);
	ok(try_open("odd.key") == SOV_E_FORMAT && strstr(err.message, "not a root key file"), "another kind of file");
	spit("empty.key", "", 0);
	ok(try_open("empty.key") == SOV_E_FORMAT, "an empty file");
	memset(bad, 'x', sizeof bad);
	spit("long.key", bad, sizeof bad);
	ok(try_open("long.key") == SOV_E_FORMAT, "a long file");
	memcpy(bad, good, len);
	bad[23] = '2';
	spit("v2.key", bad, len);
	ok(try_open("v2.key") == SOV_E_UNSUPPORTED, "a later format");

	wrong = 0;
	for (size_t i = 0; i < len; i++)
	{
		memcpy(bad, good, len);
		bad[i] ^= 0x02;
		spit("flip.key", bad, len);
		/* a flip inside the id makes another id, which nothing protects:
		 * it is a label */
		if (try_open("flip.key") == SOV_OK && !(i >= 28 && i < 64))
			wrong++;
	}
	ok(wrong == 0, "any flipped byte of key, check and frame is seen");
	wrong = 0;
	for (size_t i = 0; i + 1 < len; i++)
	{
		spit("cut.key", good, i);
		wrong += try_open("cut.key") == SOV_OK;
	}
	ok(wrong == 0, "any truncation is seen");
	memcpy(bad, good, len);
	memcpy(bad + len, "more\n", 5);
	spit("more.key", bad, len + 5);
	ok(try_open("more.key") == SOV_E_FORMAT, "text after the end");
	if (geteuid() != 0)
		printf("ok %d - another owner # SKIP needs root\n", ++tap_n);
	else
		ok(chown(at("b.key"), 12345, 12345) == 0 && try_open("b.key") == SOV_E_KEY && strstr(err.message, "another user"), "another owner");
}

static void
places(void)
{
	struct sov_config cfg = {.root_line = 7, .n_providers = 1};

	snprintf(cfg.file, sizeof cfg.file, "x.conf");
	snprintf(cfg.root, sizeof cfg.root, "file:%s", at("a.key"));
	snprintf(cfg.data_directory, sizeof cfg.data_directory, "%s", at("data"));
	snprintf(cfg.providers[0].name, SOV_NAME_MAX, "paris");
	snprintf(cfg.providers[0].path, sizeof cfg.providers[0].path, "%s", at("paris"));
	ok_rc(sov_custodian_check_place(&cfg, &err), err, "a root key outside");
	snprintf(cfg.root, sizeof cfg.root, "file:%s", at("data/sub/a.key"));
	ok(sov_custodian_check_place(&cfg, &err) == SOV_E_CONFIG && strstr(err.message, "x.conf:7: ") && strstr(err.message, "data directory"), "inside the data directory");
	snprintf(cfg.root, sizeof cfg.root, "file:%s", at("paris/a.key"));
	ok(sov_custodian_check_place(&cfg, &err) == SOV_E_CONFIG && strstr(err.message, "\"paris\""), "inside a provider");
	mkdir(at("paris"), 0700);
	ok(symlink(at("paris"), at("elsewhere")) == 0, "made a link");
	snprintf(cfg.root, sizeof cfg.root, "file:%s", at("elsewhere/a.key"));
	ok(sov_custodian_check_place(&cfg, &err) == SOV_E_CONFIG, "inside a provider by way of a link");
	sov_provider_config_set(&cfg.providers[0], "endpoint", "https://Keys.example.org:9000/x", 8);
	snprintf(cfg.root, sizeof cfg.root, "vault:https://keys.example.org/transit/keys/x?token-file=/t");
	ok(sov_custodian_check_place(&cfg, &err) == SOV_E_CONFIG && strstr(err.message, "\"paris\"") && strstr(err.message, "must not hold the key"), "a service on the host of a provider: %s", err.message);
	snprintf(cfg.root, sizeof cfg.root, "kmip:keys.example.org:5696/x?cert-file=/c&key-file=/k");
	ok(sov_custodian_check_place(&cfg, &err) == SOV_E_CONFIG && strstr(err.message, "\"paris\""), "also of KMIP");
	snprintf(cfg.root, sizeof cfg.root, "vault:https://keys.example.or/transit/keys/x?token-file=/t");
	ok_rc(sov_custodian_check_place(&cfg, &err), err, "a service on another host");
	cfg.providers[0].n_options = 0;
	sov_provider_config_set(&cfg.providers[0], "endpoint", "https://s3.gra.io.cloud.ovh.net", 8);
	snprintf(cfg.root, sizeof cfg.root, "kmip:eu-west.okms.OVH.net/x?cert-file=/c&key-file=/k");
	ok_rc(sov_custodian_check_place(&cfg, &err), err, "a domain of the controller's own may have both");
	snprintf(cfg.providers[0].preset, SOV_NAME_MAX, "ovhcloud");
	ok(sov_custodian_check_place(&cfg, &err) == SOV_E_CONFIG && strstr(err.message, "on the domain of provider \"paris\""), "that of a vendor of the catalogue may not: %s", err.message);
	cfg.providers[0].state = SOV_PROVIDER_DRAIN;
	ok_rc(sov_custodian_check_place(&cfg, &err), err, "unless it is being left");
	cfg.providers[0].state = SOV_PROVIDER_ACTIVE;
	snprintf(cfg.root, sizeof cfg.root, "kmip:notovh.net/x?cert-file=/c&key-file=/k");
	ok_rc(sov_custodian_check_place(&cfg, &err), err, "a domain that ends alike is another one");
	cfg.providers[0].n_options = 0;
	sov_provider_config_set(&cfg.providers[0], "endpoint", "https://192.0.2.7:9000", 8);
	snprintf(cfg.root, sizeof cfg.root, "kmip:198.51.2.7/x?cert-file=/c&key-file=/k");
	ok_rc(sov_custodian_check_place(&cfg, &err), err, "so are two addresses");
}

static enum sov_code
open_uri(const char *uri)
{
	struct sov_custodian *c = NULL;
	enum sov_code rc;

	sov_error_clear(&err);
	rc = sov_custodian_check_uri(uri, &err);
	if (rc == SOV_OK)
		rc = sov_custodian_open(uri, &c, &err);
	sov_custodian_close(c);
	return rc;
}

/* --- credentials of systemd --- */

static bool
reads_credentials(const char *file)
{
	char	   *list = NULL;
	enum sov_code rc;

	sov_error_clear(&err);
	rc = sov_credentials_read(file, &list, &err);
	rc = rc == SOV_OK && strcmp(sov_credentials_get(list, "secret-key"), "x") == 0 ? SOV_OK : SOV_E_CONFIG;
	sov_secret_free(list);
	return rc == SOV_OK;
}

static void
credentials(void)
{
	static const char *const good[] = {"/etc/x", "credential:a", "credential:root.key", "credential:A_b-1"},
			   *const bad[] = {"", "a", "credential:", "credential:..", "credential:.", "credential:a/b", "credential:../a", "credential:a b", "credentials:a", "credential:a%"};
	char		text[600],
			   *secret = sov_secret_alloc(100, &err);
	size_t		n = slurp("a.key", text, sizeof text);
	int			wrong = 0;

	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
		wrong += !sov_secret_file_ok(good[i]);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		wrong += sov_secret_file_ok(bad[i]);
	ok(wrong == 0, "names of files of secrets");
	unsetenv("CREDENTIALS_DIRECTORY");
	ok(open_uri("file:credential:root.key") == SOV_E_CONFIG && strstr(err.message, "CREDENTIALS_DIRECTORY is not set") && strstr(err.hint, "LoadCredential"), "no credentials: %s", err.message);
	mkdir(at("given"), 0700);
	spit("given/root.key", text, n);
	spit("given/pin", "1234\n", 5);
	spit("given/s3", "secret-key = x\n", 15);
	chmod(at("given/root.key"), 0400);
	chmod(at("given"), 0500);
	setenv("CREDENTIALS_DIRECTORY", at("given"), 1);
	ok_rc(open_uri("file:credential:root.key"), err, "a root key, 0400 in a directory of mode 0500");
	ok_rc(sov_custodian_read_secret("credential:pin", "PIN", secret, 100, &err), err, "a PIN");
	ok(strcmp(secret, "1234") == 0, "is that of the credential");
	ok(reads_credentials("credential:s3"), "credentials of a provider: %s", err.message);
	ok(open_uri("file:credential:other") == SOV_E_CONFIG && strstr(err.message, "no credential \"other\""), "one that was not given: %s", err.message);
	ok(open_uri("file:credential:../a.key") == SOV_E_CONFIG, "a name that leaves the directory");
	chmod(at("given/root.key"), 0444);
	ok(open_uri("file:credential:root.key") == SOV_E_KEY && strstr(err.message, "by others"), "one that everybody reads");
	chmod(at("given/root.key"), 0440);
	chmod(at("given/s3"), 0440);
	if (geteuid() != 0)
		ok(open_uri("file:credential:root.key") == SOV_E_KEY && !reads_credentials("credential:s3"), "one that this user's group reads");
	else
	{
		ok(open_uri("file:credential:root.key") == SOV_OK && reads_credentials("credential:s3"), "the mask of an ACL is no right of a group: %s", err.message);
		ok(chown(at("given/root.key"), 0, 12345) == 0 && open_uri("file:credential:root.key") == SOV_E_KEY, "where the group is root's");
	}
	spit("b440.key", text, n);
	chmod(at("b440.key"), 0440);
	ok(try_open("b440.key") == SOV_E_KEY, "and only of credentials");
	chmod(at("given"), 0770);
	ok(open_uri("file:credential:root.key") == SOV_E_CONFIG && strstr(err.message, "exchange"), "a directory that others may write: %s", err.message);
	setenv("CREDENTIALS_DIRECTORY", "given", 1);
	ok(open_uri("file:credential:root.key") == SOV_E_CONFIG, "one that is no absolute path");
	ok(sov_custodian_check_uri("kmip:h/x?cert-file=credential:c&key-file=credential:k", &err) == SOV_OK &&
	   sov_custodian_check_uri("vault:https://h/t/keys/x?token-file=credential:a/b", &err) == SOV_E_CONFIG, "of services, without looking");
	unsetenv("CREDENTIALS_DIRECTORY");
	chmod(at("given"), 0700);
	sov_secret_free(secret);
}

int
main(void)
{
	char		cmd[300];

	snprintf(dir, sizeof dir, "%s/sov_custodian_XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	if (mkdtemp(dir) == NULL)
		return 1;
	wrapping();
	refusals();
	places();
	credentials();
	snprintf(cmd, sizeof cmd, "rm -rf '%s'", dir);
	ok(system(cmd) == 0, "cleaned up");
	return tap_done();
}
