/*
 * provider.c - the adapters of this build, and the rule for object names.
 */
#include "sov_provider.h"

#include <stdlib.h>
#include <string.h>

#include "adapters.h"
#include "sov_config.h"

const struct sov_provider_ops *const sov_provider_adapters[] = {
	&sov_folder_ops,
	NULL
};

/* "." as a component is refused beside what the contract names: a file system
 * would see one object under two names. */
bool
sov_object_name_ok(const char *name)
{
	size_t		len = strlen(name);
	const char *component = name;

	if (len == 0 || len > SOV_OBJECT_NAME_MAX || strstr(name, "..") != NULL ||
		strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789/._-") != len)
		return false;
	for (;;)
	{
		size_t		n = strcspn(component, "/");

		if (n == 0 || (n == 1 && component[0] == '.'))
			return false;
		if (component[n] == '\0')
			return true;
		component += n + 1;
	}
}

/* Every operation is required; a hole is a programming error in the adapter. */
static bool
complete(const struct sov_provider_ops *ops)
{
	return ops->caps.scheme && ops->open && ops->put && ops->get && ops->stat &&
		ops->list && ops->remove && ops->close;
}

enum sov_code
sov_provider_open(const struct sov_provider_config *cfg,
				  struct sov_provider **out, struct sov_error *err)
{
	const struct sov_provider_ops *ops = NULL;
	struct sov_provider *p = NULL;
	enum sov_code rc;

	*out = NULL;
	for (int i = 0; sov_provider_adapters[i] != NULL; i++)
		if (strcmp(sov_provider_adapters[i]->caps.scheme, cfg->type) == 0)
			ops = sov_provider_adapters[i];
	if (ops == NULL)
		return sov_fail(err, SOV_E_CONFIG, "this version knows: folder", "there is no type of provider \"%.15s\"", cfg->type);
	if (!complete(ops))
		return sov_fail(err, SOV_E_UNSUPPORTED, NULL, "the adapter \"%s\" is not complete", cfg->type);
	rc = ops->open(cfg, &p, err);
	if (rc == SOV_OK && getenv(SOV_FAULTS_VARIABLE) != NULL)
		return sov_provider_fault_wrap(cfg->name, p, out, err);
	*out = p;
	return rc;
}
