/*
 * facts.c - what commands that must not wait for providers tell: the facts of
 * sov_facts.h and the last drills, in one document.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "sov_facts.h"

#define DRILLS_SHOWN 10

/* The last lines of the file "drills", oldest first; a line that was cut by a crash
 * or is otherwise no JSON object is passed over. */
static json_t *
last_drills(const struct sov_config *cfg)
{
	json_t	   *list = json_array();
	char		path[1200];
	char	   *line = NULL;
	size_t		cap = 0;
	FILE	   *f;

	snprintf(path, sizeof path, "%s/drills", cfg->state_directory);
	f = fopen(path, "re");
	while (f && getline(&line, &cap, f) > 0)
	{
		json_t	   *drill = json_loads(line, 0, NULL);

		if (!json_is_object(drill))
		{
			json_decref(drill);
			continue;
		}
		json_array_append_new(list, drill);
		if (json_array_size(list) > DRILLS_SHOWN)
			json_array_remove(list, 0);
	}
	free(line);
	if (f)
		fclose(f);
	return list;
}

json_t *
cli_facts(const struct sov_config *cfg, struct sov_error *err)
{
	struct sov_buf text = {0};
	json_t	   *doc = NULL;

	if (sov_facts_read(cfg, NULL, &text, err) == SOV_OK)
	{
		doc = json_loads((const char *) text.data, 0, NULL);
		if (doc == NULL || json_object_set_new(doc, "drills", last_drills(cfg)) != 0)
		{
			json_decref(doc);
			doc = NULL;
			sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
		}
	}
	sov_buf_free(&text);
	return doc;
}

int64_t
cli_fact_time(const json_t *object, const char *name)
{
	return sov_facts_time(json_string_value(json_object_get(object, name)));
}
