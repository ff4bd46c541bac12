/*
 * guc.c - the settings of the column side.
 */
#include "sov_pg.h"

char	   *sov_config_file;
int			sov_input = SOV_INPUT_PLAINTEXT;
int			sov_on_denied = SOV_DENIED_ERROR;
char	   *sov_purpose;
int			sov_seal_limit = 57344;
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
	{"mask", SOV_DENIED_MASK, false},
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

static bool
check_purpose(char **newval, void **extra, GucSource source)
{
	(void) extra;
	(void) source;
	for (const char *p = *newval; *p; p++)
		if ((unsigned char) *p < 0x20 || *p == 0x7f || p - *newval >= 200)
		{
			GUC_check_errdetail("A purpose has at most 200 bytes and no control characters.");
			return false;
		}
	return true;
}

static void
assign_purpose(const char *newval, void *extra)
{
	(void) newval;
	(void) extra;
	SovKeysRecheck();
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
							 "What a cast to plaintext gives without the key or the right to use it: an error, the ciphertext, or a mask.",
							 "The ciphertext is for text; a mask is '***' for text and NULL for other types.", &sov_on_denied, SOV_DENIED_ERROR, denied_options,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("sovereign.purpose",
							   "What values are decrypted for, where their key asks for it.",
							   NULL, &sov_purpose, "", PGC_USERSET, 0, check_purpose, assign_purpose, NULL);
	DefineCustomIntVariable("sovereign.seal_limit",
							"After how many seals a version of a key is retired, in units of 65,536.",
							"It can only be lowered: the default is seven eighths of what random nonces allow.",
							&sov_seal_limit, 57344, 1, 57344, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("sovereign.copy_plaintext",
							 "COPY table TO gives plaintext instead of what is stored.",
							 NULL, &sov_copy_plaintext, false,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("sovereign.native_results",
							 "Gives clients the base type of encrypted result columns.",
							 NULL, &sov_native_results, true,
							 PGC_USERSET, 0, NULL, NULL, NULL);
}
