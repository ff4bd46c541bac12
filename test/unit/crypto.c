/*
 * crypto - published vectors for every primitive, and the two implementations
 * of AES-GCM against each other.
 *
 * GCM: McGrew and Viega, test cases 13 to 16.  HKDF: RFC 5869, A.1 to A.3.
 * HMAC: RFC 4231, cases 1 to 4 (the later ones have longer keys).  CMAC: SP
 * 800-38B, D.3.  Key wrap: the RFC 5649 vectors have 192-bit keys, so they
 * check this file's own few lines, which then check the product.  Ed25519: RFC
 * 8032, 7.1, tests 1 to 3.
 *
 * The implementation of AES-GCM is chosen once per process, so the program runs
 * itself again with PG_SOVEREIGN_AEAD=openssl and "aead", and compares.
 */
#include <openssl/evp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sov_bytes.h"
#include "sov_crypto.h"
#include "tap.h"

static struct sov_error err;

/* Bytes of hex digits, in one of a few static buffers. */
static const uint8_t *
hex(const char *digits, size_t *len)
{
	static uint8_t ring[8][256];
	static int	turn;
	uint8_t    *p = ring[turn++ % 8];
	size_t		n = strlen(digits) / 2;

	if (n > sizeof ring[0] || !sov_unhex(p, digits, n))
		printf("Bail out! bad hex %s\n", digits);
	if (len)
		*len = n;
	return p;
}

static bool
is(const uint8_t *got, const char *digits)
{
	size_t		n;
	const uint8_t *want = hex(digits, &n);

	return memcmp(got, want, n) == 0;
}

#define GCM_KEY "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"
#define GCM_IV "cafebabefacedbaddecaf888"
#define GCM_P60 "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72" \
	"1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
#define GCM_C60 "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa" \
	"8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"

static const struct
{
	const char *key, *iv, *aad, *plain, *cipher, *tag;
}			gcm[] = {
	{"0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000", "", "", "",
	"530f8afbc74536b9a963b4f1c4cb738b"},
	{"0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000", "",
		"00000000000000000000000000000000", "cea7403d4d606b6e074ec5d3baf39d18", "d0d1c8a799996bf0265b98b5d48ab919"},
	{GCM_KEY, GCM_IV, "", GCM_P60 "1aafd255", GCM_C60 "898015ad", "b094dac5d93471bdec1a502270e3cc6c"},
	{GCM_KEY, GCM_IV, "feedfacedeadbeeffeedfacedeadbeefabaddad2", GCM_P60, GCM_C60, "76fc6ece0f4e1768cddf8853bb2d551b"},
};

/* Seal, open, refuse: number of things that are wrong. */
static int
gcm_case(int i)
{
	size_t		len,
				aad_len;
	const uint8_t *aad = hex(gcm[i].aad, &aad_len),
			   *plain = hex(gcm[i].plain, &len),
			   *nonce = hex(gcm[i].iv, NULL);
	struct sov_aead *a = sov_aead_new(hex(gcm[i].key, NULL), &err);
	uint8_t		out[64],
				back[64],
				tag[16];
	int			wrong = 0;

	wrong += sov_aead_seal(a, nonce, aad, aad_len, plain, len, out, tag, &err) != SOV_OK;
	wrong += !is(out, gcm[i].cipher) || !is(tag, gcm[i].tag);
	wrong += sov_aead_open(a, nonce, aad, aad_len, out, len, tag, back, &err) != SOV_OK || memcmp(back, plain, len) != 0;
	tag[15] ^= 1;
	wrong += sov_aead_open(a, nonce, aad, aad_len, out, len, tag, back, &err) != SOV_E_AUTH;
	for (size_t j = 0; j < len; j++)
		wrong += back[j] != 0;	/* nothing unproven is given out */
	if (len == 0)
	{
		wrong += sov_gmac(a, nonce, aad, aad_len, tag, &err) != SOV_OK || !is(tag, gcm[i].tag);
	}
	sov_aead_free(a);
	return wrong;
}

/* Everything that the AEAD yields for many lengths, as one hash; in place,
 * apart, with and without AAD, two keys in turn. */
static int
aead_digest(char text[65])
{
	static uint8_t in[65536 + 7],
				out[sizeof in + 16];
	struct sov_aead *a[2];
	uint8_t		key[32],
				nonce[12],
				sum[32] = {0};
	int			wrong = 0,
				n = 0;

	for (size_t i = 0; i < sizeof in; i++)
		in[i] = (uint8_t) (i * 31 + (i >> 8));
	for (int i = 0; i < 2; i++)
	{
		memset(key, 17 + i, sizeof key);
		a[i] = sov_aead_new(key, &err);
	}
	for (int i = 0; i < 73; i++, n++)
	{
		size_t		len = i <= 70 ? (size_t) i : i == 71 ? 1000 : sizeof in;
		struct sov_span spans[2] = {{sum, 32}, {out, len + 16}};

		memset(nonce, i, sizeof nonce);
		wrong += sov_aead_seal(a[i % 2], nonce, in, (size_t) (i * 7 % 50), in, len, out, out + len, &err) != SOV_OK;
		wrong += sov_sha256(spans, 2, sum, &err) != SOV_OK;
		wrong += sov_aead_open(a[i % 2], nonce, in, (size_t) (i * 7 % 50), out, len, out + len, out, &err) != SOV_OK;
		wrong += memcmp(in, out, len) != 0;
		wrong += sov_gmac(a[1 - i % 2], nonce, in, len, out, &err) != SOV_OK;
		spans[1].len = 16;
		wrong += sov_sha256(spans, 2, sum, &err) != SOV_OK;
	}
	sov_aead_free(a[0]);
	sov_aead_free(a[1]);
	sov_hex(text, sum, 32);
	return wrong;
}

/* A key expanded by one process into shared memory is that key in another one
 * too, whatever keys the other has of its own. */
static int
aead_shared(void)
{
	size_t		size = (sov_aead_size() + 63) / 64 * 64;
	uint8_t    *mem = mmap(NULL, size + 16, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint8_t		key[32] = {5},
				nonce[12] = {6},
				tag[16];
	struct sov_aead *own;
	int			wrong;
	pid_t		pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0)
	{
		wrong = sov_aead_init_at(mem, key, NULL) != SOV_OK ||
			sov_gmac((struct sov_aead *) mem, nonce, "x", 1, mem + size, NULL) != SOV_OK;
		_exit(wrong);
	}
	wrong = waitpid(pid, &wrong, 0) != pid || wrong != 0;
	key[0] = 7;
	own = sov_aead_new(key, &err);
	wrong += sov_gmac(own, nonce, "x", 1, tag, &err) != SOV_OK || memcmp(tag, mem + size, 16) == 0;
	wrong += sov_gmac((struct sov_aead *) mem, nonce, "x", 1, tag, &err) != SOV_OK || memcmp(tag, mem + size, 16) != 0;
	sov_aead_free(own);
	munmap(mem, size + 16);
	return wrong;
}

static int
aead_all(char text[65])
{
	int			wrong = aead_digest(text) + aead_shared();

	for (int i = 0; i < 4; i++)
		wrong += gcm_case(i);
	return wrong;
}

static void
two_implementations(const char *self)
{
	char		ours[65],
				line[200] = "",
				want[200],
				cmd[600];
	FILE	   *p;

	ok(aead_all(ours) == 0, "%s: lengths 0 to 70, 1000 and 65543, in place", sov_aead_impl());
	snprintf(cmd, sizeof cmd, "PG_SOVEREIGN_AEAD=openssl '%s' aead", self);
	p = popen(cmd, "r");
	ok(p && fgets(line, sizeof line, p), "the program runs itself with the other implementation");
	if (p)
		pclose(p);
	snprintf(want, sizeof want, "openssl 0 %s\n", ours);
	ok(strcmp(line, want) == 0, "openssl gives the same bytes (%s)", sov_aead_impl());
}

/* An expanded key is plain memory: a copy of it works as well. */
static void
placed(void)
{
	uint8_t		key[32] = {1},
				nonce[12] = {2},
				a_tag[16],
				b_tag[16];
	struct sov_aead *a = aligned_alloc(64, (sov_aead_size() + 63) / 64 * 64),
			   *b = aligned_alloc(64, (sov_aead_size() + 63) / 64 * 64);

	ok_rc(sov_aead_init_at(a, key, &err), err, "a key is expanded in place");
	memcpy(b, a, sov_aead_size());
	ok(sov_gmac(a, nonce, "x", 1, a_tag, &err) == SOV_OK && sov_gmac(b, nonce, "x", 1, b_tag, &err) == SOV_OK &&
	   memcmp(a_tag, b_tag, 16) == 0, "and can be copied");
	key[0] = 3;
	ok(sov_aead_init_at(a, key, &err) == SOV_OK && sov_gmac(a, nonce, "x", 1, b_tag, &err) == SOV_OK &&
	   memcmp(a_tag, b_tag, 16) != 0, "another key in its place is another key");
	free(a);
	free(b);
}

/* A key in memory that a fork wipes seals nothing in the child. */
static void
wiped(void)
{
	uint8_t		key[32] = {1},
				nonce[12] = {2},
				tag[16];
	struct sov_aead *a = sov_secret_alloc_nofork(sov_aead_size(), &err);
	int			status = 0;
	pid_t		pid;

	ok_rc(sov_aead_init_at(a, key, &err), err, "a key that forks do not see");
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		_exit(sov_gmac(a, nonce, "x", 1, tag, NULL) == SOV_E_KEY &&
			  sov_aead_open(a, nonce, NULL, 0, "x", 1, tag, tag, NULL) == SOV_E_KEY ? 0 : 1);
	ok(waitpid(pid, &status, 0) == pid && status == 0 && sov_gmac(a, nonce, "x", 1, tag, &err) == SOV_OK,
	   "a child is refused, the parent goes on");
	sov_aead_free(a);
}

static void
hashes(void)
{
	static const struct { const char *key, *data, *mac; } hmac[] = {
		{"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "4869205468657265", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
		{"4a656665", "7768617420646f2079612077616e7420666f72206e6f7468696e673f", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
		{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd",
		"773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
		{"0102030405060708090a0b0c0d0e0f10111213141516171819", "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd",
		"82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
	};
	uint8_t		out[32];

	for (int i = 0; i < 4; i++)
	{
		uint8_t		key[32] = {0};	/* HMAC pads with zeros itself */
		size_t		n,
					len;
		const uint8_t *k = hex(hmac[i].key, &n),
				   *data = hex(hmac[i].data, &len);
		struct sov_span spans[3] = {{data, 3}, {data + 3, 0}, {data + 3, len - 3}};

		memcpy(key, k, n);
		ok(sov_hmac(key, spans, 3, out, &err) == SOV_OK && is(out, hmac[i].mac), "HMAC-SHA256, RFC 4231 case %d", i + 1);
	}
	ok(sov_sha256(&(struct sov_span) {"abc", 3}, 1, out, &err) == SOV_OK &&
	   is(out, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"), "SHA-256 of abc");
	ok(sov_sha256(NULL, 0, out, &err) == SOV_OK &&
	   is(out, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"), "SHA-256 of nothing");
}

static void
hkdf(void)
{
	uint8_t		ikm[80],
				salt[80],
				info[80],
				out[82];

	memset(ikm, 0x0b, 22);
	ok(sov_hkdf(hex("000102030405060708090a0b0c", NULL), 13, ikm, 22, hex("f0f1f2f3f4f5f6f7f8f9", NULL), 10, out, 42, &err) == SOV_OK &&
	   is(out, "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"), "HKDF, RFC 5869 case 1");
	for (int i = 0; i < 80; i++)
	{
		ikm[i] = (uint8_t) i;
		salt[i] = (uint8_t) (0x60 + i);
		info[i] = (uint8_t) (0xb0 + i);
	}
	ok(sov_hkdf(salt, 80, ikm, 80, info, 80, out, 82, &err) == SOV_OK &&
	   is(out, "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71"
		  "cc30c58179ec3e87c14c01d5c1f3434f1d87"), "HKDF, RFC 5869 case 2");
	memset(ikm, 0x0b, 22);
	ok(sov_hkdf(NULL, 0, ikm, 22, NULL, 0, out, 42, &err) == SOV_OK &&
	   is(out, "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"), "HKDF, RFC 5869 case 3: no salt, no info");
}

static void
cmac(void)
{
	static const struct { size_t len; const char *mac; } t[] = {
		{0, "028962f61b7bf89efc6b551f4667d983"}, {16, "28a7023f452e8f82bd4bf28d8c37c35c"},
		{40, "aaf3d8f1de5640c232f5b169b9c911e6"}, {64, "e1992190549f6ed5696a2c056c315410"},
	};
	const uint8_t *data = hex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
							  "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710", NULL);
	struct sov_cmac *c = sov_cmac_new(hex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4", NULL), &err);
	uint8_t		out[16];

	for (int i = 0; i < 4; i++)
	{
		struct sov_span spans[2] = {{data, t[i].len / 3}, {data + t[i].len / 3, t[i].len - t[i].len / 3}};

		ok(sov_cmac(c, spans, 2, out, &err) == SOV_OK && is(out, t[i].mac), "AES-256-CMAC of %zu bytes", t[i].len);
	}
	sov_cmac_free(c);
}

/* Long messages, against libcrypto. */
static void
cmac_long(void)
{
	static const size_t lens[] = {500, 512, 513, 4096, 59999, 60000, 60001, 65535, 65536, 65537, 200000};
	const uint8_t *key = hex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4", NULL);
	uint8_t    *msg = malloc(200000);
	struct sov_cmac *c = sov_cmac_new(key, &err);
	uint8_t		out[16],
				want[16];
	size_t		n;

	for (size_t i = 0; i < 200000; i++)
		msg[i] = (uint8_t) (i * 31 + i / 256);
	for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++)
	{
		struct sov_span spans[2] = {{msg, 16}, {msg + 16, lens[i] - 16}};

		ok(EVP_Q_mac(NULL, "CMAC", NULL, "AES-256-CBC", NULL, key, 32, msg, lens[i], want, sizeof want, &n) != NULL &&
		   sov_cmac(c, spans, 2, out, &err) == SOV_OK && memcmp(out, want, 16) == 0, "AES-256-CMAC of %zu bytes", lens[i]);
	}
	sov_cmac_free(c);
	free(msg);
}

/* RFC 5649 in its own words: section 4.1, for 192 and 256-bit keys. */
static void
kwp_plain(const uint8_t *kek, int bits, const uint8_t *in, size_t len, uint8_t *out, size_t *out_len)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	size_t		n = (len + 7) / 8;
	uint8_t		a[16] = {0xa6, 0x59, 0x59, 0xa6, 0, 0, 0, (uint8_t) len};
	int			got;

	EVP_EncryptInit_ex(ctx, bits == 192 ? EVP_aes_192_ecb() : EVP_aes_256_ecb(), NULL, kek, NULL);
	EVP_CIPHER_CTX_set_padding(ctx, 0);
	memset(out, 0, 8 * n + 8);
	memcpy(out + 8, in, len);
	*out_len = 8 * n + 8;
	for (size_t j = 0; n > 1 && j < 6; j++)
		for (size_t i = 1; i <= n; i++)
		{
			memcpy(a + 8, out + 8 * i, 8);
			EVP_EncryptUpdate(ctx, a, &got, a, 16);
			memcpy(out + 8 * i, a + 8, 8);
			a[7] ^= (uint8_t) (n * j + i);	/* below 256 for short keys */
		}
	memcpy(out, a, 8);
	if (n == 1)
		EVP_EncryptUpdate(ctx, out, &got, out, 16);
	EVP_CIPHER_CTX_free(ctx);
}

static void
key_wrap(void)
{
	const uint8_t *kek192 = hex("5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8", NULL);
	uint8_t		key[128],
				kek[32],
				want[SOV_KWP_MAX],
				out[SOV_KWP_MAX],
				back[SOV_KWP_MAX];
	size_t		n,
				m;
	int			wrong = 0,
				taken = 0;

	kwp_plain(kek192, 192, hex("c37b7e6492584340bed12207808941155068f738", NULL), 20, want, &n);
	ok(n == 32 && is(want, "138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a"), "this test wraps as RFC 5649 does (20 bytes)");
	kwp_plain(kek192, 192, hex("466f7250617369", NULL), 7, want, &n);
	ok(n == 16 && is(want, "afbeb0f07dfbf5419200f2ccb50bb24f"), "(7 bytes)");
	for (int i = 0; i < 128; i++)
		key[i] = (uint8_t) (i * 3 + 1);
	for (int i = 0; i < 32; i++)
		kek[i] = (uint8_t) (200 - i);
	for (size_t len = 1; len <= 128; len++)
	{
		kwp_plain(kek, 256, key, len, want, &n);
		wrong += sov_kwp_wrap(kek, key, len, out, &m, &err) != SOV_OK || m != n || memcmp(out, want, n) != 0;
		wrong += sov_kwp_unwrap(kek, out, m, back, &n, &err) != SOV_OK || n != len || memcmp(back, key, len) != 0;
	}
	ok(wrong == 0, "AES-256 key wrap with padding of 1 to 128 bytes, and back");
	ok(sov_kwp_wrap(kek, key, 32, out, &m, &err) == SOV_OK && m == 40, "32 bytes take 40");
	for (size_t i = 0; i < 40 * 8; i++)
	{
		out[i / 8] ^= (uint8_t) (1 << i % 8);
		taken += sov_kwp_unwrap(kek, out, 40, back, &n, &err) != SOV_E_AUTH;
		out[i / 8] ^= (uint8_t) (1 << i % 8);
	}
	for (size_t i = 0; i < 40; i++)
		taken += sov_kwp_unwrap(kek, out, i, back, &n, &err) == SOV_OK;
	kek[31] ^= 1;
	taken += sov_kwp_unwrap(kek, out, 40, back, &n, &err) != SOV_E_AUTH;
	ok(taken == 0, "any flipped bit, any truncation and another key are refused");
	ok(sov_kwp_wrap(kek, key, 0, out, &m, &err) == SOV_E_FORMAT && sov_kwp_wrap(kek, key, 129, out, &m, &err) == SOV_E_FORMAT, "lengths out of range");
}

static void
signatures(void)
{
	static const struct { const char *seed, *pub, *msg, *sig; } t[] = {
		{"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
		"e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"},
		{"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb", "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
		"92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"},
		{"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7", "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
		"6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"},
	};
	uint8_t		sig[64],
				pub[32];

	for (int i = 0; i < 3; i++)
	{
		size_t		len;
		const uint8_t *msg = hex(t[i].msg, &len),
				   *seed = hex(t[i].seed, NULL);
		int			taken = 0;

		ok(sov_sign_public(seed, pub, &err) == SOV_OK && is(pub, t[i].pub) && sov_sign(seed, msg, len, sig, &err) == SOV_OK && is(sig, t[i].sig),
		   "Ed25519, RFC 8032 test %d", i + 1);
		taken += sov_verify_sig(pub, msg, len, sig, &err) != SOV_OK;
		for (int j = 0; j < 64; j++)
		{
			sig[j] ^= 4;
			taken += sov_verify_sig(pub, msg, len, sig, &err) != SOV_E_AUTH;
			sig[j] ^= 4;
		}
		taken += sov_verify_sig(hex(t[(i + 1) % 3].pub, NULL), msg, len, sig, &err) != SOV_E_AUTH;
		taken += sov_verify_sig(pub, "other", 5, sig, &err) != SOV_E_AUTH;
		ok(taken == 0, "verifies, and nothing else does");
	}
}

static void
commitments(void)
{
	uint8_t		key[32] = {9},
				a[32],
				b[32];

	ok(sov_commit(key, "run", a, &err) == SOV_OK && sov_commit(key, "name", b, &err) == SOV_OK && memcmp(a, b, 32) != 0, "a commitment is to a purpose");
	key[31] = 1;
	ok(sov_commit(key, "run", b, &err) == SOV_OK && memcmp(a, b, 32) != 0, "and to a key");
}

/* The vector of the RFC's authors for this suite in base mode (test-vectors.json of
 * the CFRG's repository, which RFC 9180 names: kem 0x20, kdf 1, aead 2), message 0. */
static void
hpke(void)
{
	static const char info[] = "Ode on a Grecian Urn",
				aad[] = "Count-0",
				text[] = "Beauty is truth, truth beauty";
	const uint8_t *sk_r = hex("497b4502664cfea5d5af0b39934dac72242a74f8480451e1aee7d6a53320333d", NULL),
			   *pk_r = hex("430f4b9859665145a6b1ba274024487bd66f03a2dd577d7753c68d7d7d00c00c", NULL),
			   *sk_e = hex("179d4b53b6365c45b600c4163b61d95cbc2f4d9e36f1695558dce265ab8bab11", NULL),
			   *pk_e = hex("6c93e09869df3402d7bf231bf540fadd35cd56be14f97178f0954db94b7fc256", NULL),
			   *ct = hex("e5d84cd531cfb583096e7cfa9641bd3079cf3a91cda813c52deb5f512be9931980a41de125a925cdad859d5b7a", NULL);
	enum { INFO = sizeof info - 1, AAD = sizeof aad - 1, LEN = sizeof text - 1 };
	uint8_t		pub[32],
				priv[32],
				enc[32],
				tag[16],
				out[LEN],
				sealed[2][LEN];
	int			opened = 0;

	ok(sov_hpke_public(sk_r, pub, &err) == SOV_OK && memcmp(pub, pk_r, 32) == 0, "HPKE: the recipient's public key");
	ok_rc(sov_hpke_seal_with(sk_e, pk_r, info, INFO, aad, AAD, text, LEN, enc, out, tag, &err), err, "HPKE: sealed with the vector's ephemeral key");
	ok(memcmp(enc, pk_e, 32) == 0 && memcmp(out, ct, LEN) == 0 && memcmp(tag, ct + LEN, 16) == 0, "HPKE: encapsulated key, ciphertext and tag of RFC 9180");
	ok(sov_hpke_open(sk_r, pk_e, info, INFO, aad, AAD, ct, LEN, ct + LEN, out, &err) == SOV_OK && memcmp(out, text, LEN) == 0, "HPKE: and opened");
	opened += sov_hpke_open(sk_e, pk_e, info, INFO, aad, AAD, ct, LEN, ct + LEN, out, &err) != SOV_E_AUTH;
	opened += sov_hpke_open(sk_r, pk_r, info, INFO, aad, AAD, ct, LEN, ct + LEN, out, &err) != SOV_E_AUTH;
	opened += sov_hpke_open(sk_r, pk_e, info, INFO - 1, aad, AAD, ct, LEN, ct + LEN, out, &err) != SOV_E_AUTH;
	opened += sov_hpke_open(sk_r, pk_e, info, INFO, aad, AAD - 1, ct, LEN, ct + LEN, out, &err) != SOV_E_AUTH;
	opened += sov_hpke_open(sk_r, pk_e, info, INFO, aad, AAD, ct, LEN - 1, ct + LEN, out, &err) != SOV_E_AUTH;
	ok(opened == 0, "HPKE: not with another key, encapsulated key, info, associated data or length");
	ok(sov_hpke_keypair(priv, pub, &err) == SOV_OK &&
	   sov_hpke_seal(pub, "", 0, NULL, 0, text, LEN, enc, sealed[0], tag, &err) == SOV_OK &&
	   sov_hpke_open(priv, enc, "", 0, NULL, 0, sealed[0], LEN, tag, out, &err) == SOV_OK && memcmp(out, text, LEN) == 0, "HPKE: a new pair");
	ok(sov_hpke_seal(pub, "", 0, NULL, 0, text, LEN, enc, sealed[1], tag, &err) == SOV_OK && memcmp(sealed[0], sealed[1], LEN) != 0, "HPKE: each message has a key of its own");
	memset(pub, 0, 32);
	ok(sov_hpke_seal(pub, "", 0, NULL, 0, text, LEN, enc, out, tag, &err) == SOV_E_CRYPTO, "HPKE: a public key of small order is refused");
}

int
main(int argc, char **argv)
{
	char		self[500] = "",
				text[65];

	if (argc > 1 && strcmp(argv[1], "aead") == 0)
	{
		int			wrong = aead_all(text);

		printf("%s %d %s\n", sov_aead_impl(), wrong, text);
		return wrong != 0;
	}
	if (readlink("/proc/self/exe", self, sizeof self - 1) < 0)
		return 1;
	for (int i = 0; i < 4; i++)
		ok(gcm_case(i) == 0, "AES-256-GCM, test case %d (%s)", 13 + i, sov_aead_impl());
	two_implementations(self);
	placed();
	wiped();
	hashes();
	hkdf();
	cmac();
	cmac_long();
	key_wrap();
	signatures();
	hpke();
	commitments();
	ok(tap_locked_kb() == 0, "every secret is freed: %ld kB left", tap_locked_kb());
	return tap_done();
}
