/*
 * custodian_epoch.c - where the erasable keys of epochs are (sov_custodian.h).
 */
#include "sov_custodian.h"

#include <stdio.h>
#include <string.h>

#include "sov_credential.h"

/* pkcs11: the value of object=, ended by ';', '?' or the end, gets "-epoch-ID"; an id=
 * would name the root key itself and goes. */
static bool
pkcs11_uri(const char *base, const char *suffix, char uri[1200])
{
	size_t		n = 0;
	bool		named = false;
	const char *p = base + strlen("pkcs11:");

	n = (size_t) snprintf(uri, 1200, "pkcs11:");
	while (*p != '\0' && *p != '?')
	{
		size_t		len = strcspn(p, ";?");

		if (strncmp(p, "id=", 3) != 0)
		{
			bool		object = strncmp(p, "object=", 7) == 0;

			n += (size_t) snprintf(uri + n, 1200 - n, "%s%.*s%s", uri[n - 1] == ':' ? "" : ";", (int) len, p, object ? suffix : "");
			named |= object;
		}
		p += len + (p[len] == ';');
		if (n >= 1100)
			return false;
	}
	snprintf(uri + n, 1200 - n, "%s", p);
	return named;
}

enum sov_code
sov_custodian_epoch_uri(const struct sov_config *cfg, const uint8_t epoch[16], char uri[1200], struct sov_error *err)
{
	const char *base = cfg->epochs[0] ? cfg->epochs : cfg->root;
	char		suffix[48] = "-epoch-";

	sov_hex(suffix + 7, epoch, 16);
	if (strncmp(base, "file:", 5) == 0 && !sov_is_credential(base + 5))
	{
		suffix[0] = '.';
		snprintf(uri, 1200, "%s%s", base, suffix);
		return SOV_OK;
	}
	if (strncmp(base, "pkcs11:", 7) == 0)
		return pkcs11_uri(base, suffix, uri) ? SOV_OK :
			sov_fail(err, SOV_E_CONFIG, "name it by object=", "the PKCS#11 URI beside which erasable keys are made names no object");
	if (strncmp(base, "vault:", 6) == 0 || strncmp(base, "kmip:", 5) == 0)
	{
		int			n = (int) strcspn(base, "?");

		snprintf(uri, 1200, "%.*s%s%s", n, base, suffix, base + n);
		return SOV_OK;
	}
	return sov_fail(err, SOV_E_UNSUPPORTED, "write epochs = pkcs11:..., kmip:..., vault:... or file:... into [custody]: the root key stays where it is",
					"custodian \"%.*s\" cannot destroy the key of an epoch, so no person could be erased", (int) strcspn(base, ":"), base);
}

enum sov_code
sov_custodian_open_epoch(const struct sov_config *cfg, const uint8_t epoch[16], struct sov_custodian **out, struct sov_error *err)
{
	char		uri[1200];
	enum sov_code rc = sov_custodian_epoch_uri(cfg, epoch, uri, err);

	*out = NULL;
	if (rc == SOV_OK)
		rc = sov_custodian_open(uri, out, err);
	if (rc == SOV_E_KEY && !err->retryable)
	{
		sov_error_prefix(err, "key of an epoch of persons");
		snprintf(err->hint, sizeof err->hint, "an erasure destroys the key of its epoch; if this database was restored or loaded from before one, run \"pg_sovereign key subjects\"");
	}
	return rc;
}
