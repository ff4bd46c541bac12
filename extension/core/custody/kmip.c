/*
 * kmip.c - requests to a KMIP server over TLS.
 *
 * libcurl makes the connection (CURLOPT_CONNECT_ONLY), with the settings, checks and
 * limits that all connections of this program have; the messages are ours.  Requests and
 * answers hold keys: they are in secret memory alone, and what TLS keeps of them ends with
 * the connection (the helper wipes what libraries free).
 */
#include "kmip.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <openssl/pem.h>
#include <openssl/x509.h>

#include "../../../providers/net.h"

struct sov_kmip
{
	struct sov_custodian_service at;
	struct sov_provider_config *settings;
	struct sov_net *net;		/* while connected, as conn */
	struct sov_conn *conn;
	int64_t		end_ms;			/* of all that this connection is for */
	enum sov_kmip_operation op;
	struct sov_ttlv_out out;	/* secret memory */
	size_t		begun[3];		/* message, batch item, payload */
	uint8_t    *answer;			/* secret memory, KMIP_ANSWER_CAP */
};

/* --- connecting --- */

/* libcurl and the server say little of a certificate that has ended. */
static enum sov_code
check_certificate(const struct sov_custodian_service *at, struct sov_error *err)
{
	FILE	   *f = fopen(at->cert_file, "re");
	X509	   *cert = f ? PEM_read_X509(f, NULL, NULL, NULL) : NULL;
	enum sov_code rc = SOV_OK;
	int			fd;

	if (f == NULL)
		rc = sov_fail(err, SOV_E_KEY, "it must be readable by the user that runs this", "could not open client certificate \"%.300s\": %s", at->cert_file, strerror(errno));
	else if (cert == NULL)
		rc = sov_fail(err, SOV_E_KEY, "write the certificate into it as PEM", "\"%.300s\" does not hold a client certificate", at->cert_file);
	else if (X509_cmp_current_time(X509_get0_notAfter(cert)) < 0)
		rc = sov_fail(err, SOV_E_KEY, "let the operator of the KMIP server issue a new one, and write it into that file", "client certificate \"%.300s\" has expired", at->cert_file);
	if (rc != SOV_OK)
		err->retryable = cert != NULL;	/* the server has refused nothing */
	X509_free(cert);
	if (f != NULL)
		fclose(f);
	if (rc != SOV_OK)
		return rc;
	fd = open(at->key_file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return sov_fail(err, SOV_E_KEY, "it must be a file, mode 0600, of the user that runs this", "could not open \"%.300s\", which should hold the client's private key: %s", at->key_file, strerror(errno));
	rc = sov_custodian_check_secret_file(fd, at->key_file, "client's private key", err);
	close(fd);
	return rc;
}

static enum sov_code
make_connection(struct sov_kmip *k, struct sov_error *err)
{
	CURLcode	cc;
	enum sov_code rc;

	if (k->conn != NULL)
		return SOV_OK;
	rc = check_certificate(&k->at, err);
	if (rc == SOV_OK)
		rc = sov_net_open(k->settings, &k->net, err);
	if (rc == SOV_OK && (k->conn = sov_net_take(k->net, err)) == NULL)
		rc = SOV_E_NOMEM;
	if (rc != SOV_OK)
		return rc;
	curl_easy_setopt(k->conn->easy, CURLOPT_URL, sov_net_endpoint(k->net));
	curl_easy_setopt(k->conn->easy, CURLOPT_CONNECT_ONLY, 1L);
	curl_easy_setopt(k->conn->easy, CURLOPT_SSL_ENABLE_ALPN, 0L);
	curl_easy_setopt(k->conn->easy, CURLOPT_SSLCERT, k->at.cert_file);
	curl_easy_setopt(k->conn->easy, CURLOPT_SSLKEY, k->at.key_file);
	/* else libcrypto asks the terminal for one */
	curl_easy_setopt(k->conn->easy, CURLOPT_KEYPASSWD, "");
	cc = sov_net_perform(k->net, k->conn);
	k->end_ms = sov_custodian_now_ms() + KMIP_TOTAL_MS;
	if (cc == CURLE_OK)
		return SOV_OK;
	(void) sov_net_fail(k->conn, cc, "could not connect", err);
	rc = sov_custodian_unreachable(&k->at, err);
	sov_kmip_disconnect(k);
	return rc;
}

void
sov_kmip_disconnect(struct sov_kmip *k)
{
	if (k->conn != NULL)
		sov_net_give(k->net, k->conn);
	k->conn = NULL;
	sov_net_close(k->net);
	k->net = NULL;
	sov_wipe(k->out.data, KMIP_BODY_CAP);
	sov_wipe(k->answer, KMIP_ANSWER_CAP);
}

/* --- sending and receiving --- */

static enum sov_code
lost(struct sov_kmip *k, const char *what, const char *hint, struct sov_error *err)
{
	sov_fail(err, SOV_E_KEY, hint, "KMIP server %s:%s %s", k->at.host, k->at.port, what);
	err->retryable = true;
	sov_kmip_disconnect(k);
	return SOV_E_KEY;
}

/* Wait until the connection may go on; the limit is that of the connection. */
static enum sov_code
wait_for(struct sov_kmip *k, short events, struct sov_error *err)
{
	struct pollfd p = {.events = events};
	curl_socket_t fd = CURL_SOCKET_BAD;
	int64_t		left = k->end_ms - sov_custodian_now_ms();

	curl_easy_getinfo(k->conn->easy, CURLINFO_ACTIVESOCKET, &fd);
	p.fd = fd;
	if (left <= 0 || fd == CURL_SOCKET_BAD)
		return lost(k, "does not answer in time", "see its log: is it overloaded? When it is back, work goes on by itself", err);
	(void) poll(&p, 1, (int) left);
	return SOV_OK;
}

/* With TLS 1.3 a server refuses a client's certificate only now. */
static enum sov_code
move_bytes(struct sov_kmip *k, uint8_t *buf, size_t len, bool sending, struct sov_error *err)
{
	enum sov_code rc = SOV_OK;

	for (size_t done = 0; done < len && rc == SOV_OK;)
	{
		size_t		n = 0;
		CURLcode	cc = sending ? curl_easy_send(k->conn->easy, buf + done, len - done, &n) : curl_easy_recv(k->conn->easy, buf + done, len - done, &n);

		if (cc == CURLE_AGAIN)
			rc = wait_for(k, sending ? POLLOUT : POLLIN, err);
		else if (cc != CURLE_OK && strstr(k->conn->message, "alert") != NULL)
		{
			(void) sov_net_fail(k->conn, cc, "the connection ended", err);
			rc = sov_custodian_unreachable(&k->at, err);
			sov_kmip_disconnect(k);
		}
		else if (cc != CURLE_OK || n == 0)
			rc = lost(k, "ended the connection", "does it accept the client's certificate (cert-file)? Its log says why", err);
		else
			done += n;
	}
	return rc;
}

static enum sov_code
exchange(struct sov_kmip *k, size_t *len, struct sov_error *err)
{
	uint8_t    *a = k->answer;
	enum sov_code rc = move_bytes(k, k->out.data, k->out.len, true, err);

	if (rc == SOV_OK)
		rc = move_bytes(k, a, TTLV_HEAD, false, err);
	if (rc != SOV_OK)
		return rc;
	*len = (size_t) a[4] << 24 | (size_t) a[5] << 16 | (size_t) a[6] << 8 | a[7];
	if (a[0] != 0x42 || a[3] != TTLV_STRUCT || *len > KMIP_ANSWER_CAP - TTLV_HEAD)
		return sov_custodian_rubbish(&k->at, err);
	rc = move_bytes(k, a + TTLV_HEAD, *len, false, err);
	*len += TTLV_HEAD;
	return rc;
}

/* --- requests --- */

struct sov_ttlv_out *
sov_kmip_begin(struct sov_kmip *k, enum sov_kmip_operation op)
{
	struct sov_ttlv_out *o = &k->out;
	size_t		header,
				version;

	k->op = op;
	o->len = 0;
	o->bad = false;
	k->begun[0] = sov_ttlv_begin(o, KMIP_REQUEST);
	header = sov_ttlv_begin(o, KMIP_REQUEST_HEADER);
	version = sov_ttlv_begin(o, KMIP_VERSION);
	sov_ttlv_number(o, KMIP_VERSION_MAJOR, TTLV_INT, 1);
	sov_ttlv_number(o, KMIP_VERSION_MINOR, TTLV_INT, 4);
	sov_ttlv_end(o, version);
	sov_ttlv_number(o, KMIP_MAX_RESPONSE, TTLV_INT, KMIP_ANSWER_CAP);
	sov_ttlv_number(o, KMIP_BATCH_COUNT, TTLV_INT, 1);
	sov_ttlv_end(o, header);
	k->begun[1] = sov_ttlv_begin(o, KMIP_BATCH_ITEM);
	sov_ttlv_number(o, KMIP_OPERATION, TTLV_ENUM, op);
	k->begun[2] = sov_ttlv_begin(o, KMIP_REQUEST_PAYLOAD);
	return o;
}

bool
sov_kmip_parse(const uint8_t *buf, size_t len, enum sov_kmip_operation op, struct sov_kmip_answer *a)
{
	struct sov_ttlv whole,
				item;
	uint32_t	said;

	memset(a, 0, sizeof *a);
	if (!sov_ttlv_whole(buf, len, &whole) || whole.tag != KMIP_RESPONSE ||
		!sov_ttlv_find(&whole, KMIP_BATCH_ITEM, TTLV_STRUCT, &item) || !sov_ttlv_find_number(&item, KMIP_RESULT_STATUS, TTLV_ENUM, &a->status))
		return false;
	/* a refusal of the whole request does not name it */
	if (sov_ttlv_find_number(&item, KMIP_OPERATION, TTLV_ENUM, &said) ? said != op : a->status == 0)
		return false;
	(void) sov_ttlv_find_number(&item, KMIP_RESULT_REASON, TTLV_ENUM, &a->reason);
	if (!sov_ttlv_find(&item, KMIP_RESPONSE_PAYLOAD, TTLV_STRUCT, &a->payload))
		a->payload.type = 0;
	return a->status != 0 || a->payload.type != 0;
}

enum sov_code
sov_kmip_call(struct sov_kmip *k, struct sov_kmip_answer *a, struct sov_error *err)
{
	size_t		len = 0;
	enum sov_code rc;

	for (int i = 2; i >= 0; i--)
		sov_ttlv_end(&k->out, k->begun[i]);
	if (k->out.bad)
		return sov_fail(err, SOV_E_CONFIG, "give it a shorter name", "a request to the KMIP server is too long");
	rc = make_connection(k, err);
	if (rc == SOV_OK)
		rc = exchange(k, &len, err);
	if (rc == SOV_OK && !sov_kmip_parse(k->answer, len, k->op, a))
		rc = sov_custodian_rubbish(&k->at, err);
	return rc;
}

enum sov_code
sov_kmip_new(const struct sov_custodian_service *at, struct sov_kmip **out, struct sov_error *err)
{
	struct sov_kmip *k = calloc(1, sizeof *k);

	*out = k;
	if (k == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	k->at = *at;
	k->out.cap = KMIP_BODY_CAP;
	if ((k->out.data = sov_secret_alloc(KMIP_BODY_CAP, err)) == NULL || (k->answer = sov_secret_alloc(KMIP_ANSWER_CAP, err)) == NULL)
		return SOV_E_NOMEM;
	return sov_custodian_service_settings(at, &k->settings, err);
}

void
sov_kmip_free(struct sov_kmip *k)
{
	if (k == NULL)
		return;
	if (k->out.data != NULL && k->answer != NULL)
		sov_kmip_disconnect(k);
	sov_secret_free(k->out.data);
	sov_secret_free(k->answer);
	free(k->settings);
	free(k);
}
