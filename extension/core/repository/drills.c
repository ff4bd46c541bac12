/*
 * drills.c - the last restore drills of this host, from the file that "drill" appends to.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sov_facts.h"

enum sov_code
sov_facts_drills(const struct sov_config *cfg, int most, struct sov_buf *json, struct sov_error *err)
{
	json_t	   *list = json_array(),
			   *drill;
	char		path[1200],
			   *line = NULL,
			   *text;
	size_t		cap = 0;
	bool		bad;
	FILE	   *f;

	snprintf(path, sizeof path, "%s/drills", cfg->state_directory);
	f = fopen(path, "re");
	while (f && getline(&line, &cap, f) > 0)
	{
		drill = json_loads(line, 0, NULL);
		if (json_is_object(drill))
			json_array_append(list, drill);
		json_decref(drill);
		if (json_array_size(list) > (size_t) most)
			json_array_remove(list, 0);
	}
	free(line);
	if (f)
		fclose(f);
	text = list ? json_dumps(list, JSON_COMPACT) : NULL;
	if (text != NULL)
		sov_write_bytes(json, text, strlen(text) + 1);
	json_decref(list);
	bad = text == NULL || json->bad;
	free(text);
	return !bad ? SOV_OK : sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
}
