/*
 * facts.c - what commands that must not wait for providers tell: the facts of
 * sov_facts.h and the last drills, in one document.
 */
#include "cli.h"
#include "sov_facts.h"

#define DRILLS_SHOWN 10

json_t *
cli_facts(const struct sov_config *cfg, struct sov_error *err)
{
	struct sov_buf text = {0},
				drills = {0};
	json_t	   *doc = NULL;

	if (sov_facts_read(cfg, NULL, &text, err) == SOV_OK && sov_facts_drills(cfg, DRILLS_SHOWN, &drills, err) == SOV_OK)
	{
		doc = json_loads((const char *) text.data, 0, NULL);
		if (doc == NULL || json_object_set_new(doc, "drills", json_loads((const char *) drills.data, 0, NULL)) != 0)
		{
			json_decref(doc);
			doc = NULL;
			sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
		}
	}
	sov_buf_free(&drills);
	sov_buf_free(&text);
	return doc;
}

int64_t
cli_fact_time(const json_t *object, const char *name)
{
	return sov_facts_time(json_string_value(json_object_get(object, name)));
}
