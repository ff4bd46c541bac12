/*
 * moody_token.c - a PKCS#11 module that is SoftHSM2 on good days, for the conformance
 * suite of custodians.
 *
 * On others the file that TOKEN_MOOD names has lines: "C_NAME RV" (hexadecimal; that
 * function gives this instead of being called), "flags BITS" (of the token, beside its
 * own), "gone" (no slot has a token).
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <p11-kit/pkcs11.h>

#define REAL "/usr/lib/softhsm/libsofthsm2.so"

static CK_FUNCTION_LIST *real;
static CK_FUNCTION_LIST list;

/* The number in the line of this name; 0: there is none. */
static unsigned long
mood(const char *name)
{
	const char *path = getenv("TOKEN_MOOD");
	FILE	   *f = path ? fopen(path, "r") : NULL;
	char		line[100],
				word[60];
	unsigned long value,
				found = 0;

	while (f != NULL && fgets(line, sizeof line, f) != NULL)
	{
		value = 1;
		if (sscanf(line, "%59s %lx", word, &value) >= 1 && strcmp(word, name) == 0)
			found = value;
	}
	if (f != NULL)
		fclose(f);
	return found;
}

static CK_RV
get_slots(CK_BBOOL present, CK_SLOT_ID *slots, CK_ULONG *n)
{
	if (!mood("gone"))
		return real->C_GetSlotList(present, slots, n);
	*n = 0;
	return CKR_OK;
}

static CK_RV
get_token(CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
	CK_RV		rv = real->C_GetTokenInfo(slot, info);

	info->flags |= mood("flags");
	return rv;
}

static CK_RV
log_in(CK_SESSION_HANDLE s, CK_USER_TYPE user, CK_UTF8CHAR *pin, CK_ULONG len)
{
	CK_RV		rv = mood("C_Login");

	return rv ? rv : real->C_Login(s, user, pin, len);
}

static CK_RV
create(CK_SESSION_HANDLE s, CK_ATTRIBUTE *a, CK_ULONG n, CK_OBJECT_HANDLE *o)
{
	CK_RV		rv = mood("C_CreateObject");

	return rv ? rv : real->C_CreateObject(s, a, n, o);
}

static CK_RV
generate(CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_ATTRIBUTE *a, CK_ULONG n, CK_OBJECT_HANDLE *o)
{
	CK_RV		rv = mood("C_GenerateKey");

	return rv ? rv : real->C_GenerateKey(s, m, a, n, o);
}

static CK_RV
wrap(CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_OBJECT_HANDLE by, CK_OBJECT_HANDLE what, CK_BYTE *out, CK_ULONG *len)
{
	CK_RV		rv = mood("C_WrapKey");

	return rv ? rv : real->C_WrapKey(s, m, by, what, out, len);
}

static CK_RV
unwrap(CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_OBJECT_HANDLE by, CK_BYTE *in, CK_ULONG len, CK_ATTRIBUTE *a, CK_ULONG n, CK_OBJECT_HANDLE *o)
{
	CK_RV		rv = mood("C_UnwrapKey");

	return rv ? rv : real->C_UnwrapKey(s, m, by, in, len, a, n, o);
}

CK_RV
C_GetFunctionList(CK_FUNCTION_LIST **out)
{
	void	   *lib = dlopen(REAL, RTLD_NOW | RTLD_LOCAL);
	CK_RV		(*get) (CK_FUNCTION_LIST **) = NULL;

	if (lib != NULL)
		*(void **) &get = dlsym(lib, "C_GetFunctionList");
	if (get == NULL || get(&real) != CKR_OK)
		return CKR_GENERAL_ERROR;
	list = *real;
	list.C_GetFunctionList = C_GetFunctionList;
	list.C_GetSlotList = get_slots;
	list.C_GetTokenInfo = get_token;
	list.C_Login = log_in;
	list.C_CreateObject = create;
	list.C_GenerateKey = generate;
	list.C_WrapKey = wrap;
	list.C_UnwrapKey = unwrap;
	*out = &list;
	return CKR_OK;
}
