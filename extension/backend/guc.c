/*
 * guc.c - the settings of the column side.
 */
#include "sov_pg.h"

char	   *sov_config_file;
int			sov_input = SOV_INPUT_PLAINTEXT;
int			sov_on_denied = SOV_DENIED_ERROR;
bool		sov_native_results = true;
bool		sov_copy_plaintext;

static const struct config_enum_entry input_options[] = {
	{"plaintext", SOV_INPUT_PLAINTEXT, false},
	{"ciphertext", SOV_INPUT_CIPHERTEXT, false},
	{NULL, 0, false}
};

static const struct config_enum_entry denied_options[] = {
	{"error", SOV_DENIED_ERROR, false},
	{"ciphertext", SOV_DENIED_CIPHERTEXT, false},
	{NULL, 0, false}
};

/* Another file may name another root key. */
static void
assign_config_file(const char *newval, void *extra)
{
	(void) newval;
	(void) extra;
	SovKeysForget();
}

void
SovGucInit(void)
{
	DefineCustomStringVariable("sovereign.config_file",
							   "Configuration file of pg_sovereign.",
							   "Its section [custody] says where the root key lives.",
							   &sov_config_file, "/etc/pg_sovereign/pg_sovereign.conf",
							   PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, assign_config_file, NULL);
	DefineCustomEnumVariable("sovereign.input",
							 "What the input of an encrypted type is: plaintext to encrypt, or stored ciphertext.",
							 "Set to \"ciphertext\" to restore a dump or to copy stored values; no key is needed then.",
							 &sov_input, SOV_INPUT_PLAINTEXT, input_options,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomEnumVariable("sovereign.on_denied",
							 "What a cast to plaintext gives when the key is not available: an error or the ciphertext.",
							 NULL, &sov_on_denied, SOV_DENIED_ERROR, denied_options,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("sovereign.copy_plaintext",
							 "COPY table TO gives plaintext instead of what is stored.",
							 NULL, &sov_copy_plaintext, false,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("sovereign.native_results",
							 "Gives clients the base type of encrypted result columns.",
							 NULL, &sov_native_results, true,
							 PGC_USERSET, 0, NULL, NULL, NULL);
}
