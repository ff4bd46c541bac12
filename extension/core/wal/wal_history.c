/*
 * wal_history.c - which timelines descend from which, by the server's history
 * files: lines "timeline <tab> LSN <tab> reason", the LSN being where the next
 * timeline leaves it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "wal_private.h"

static enum sov_code
parse_history(char *text, struct wal_history *h, struct sov_error *err)
{
	char	   *save = NULL;

	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
	{
		uint32_t	timeline,
					hi,
					lo;

		line += strspn(line, " \t");
		if (*line == '\0' || *line == '#')
			continue;
		if (sscanf(line, "%" SCNu32 " %" SCNx32 "/%" SCNx32, &timeline, &hi, &lo) != 3 || h->n == WAL_ANCESTORS)
			return sov_fail(err, SOV_E_FORMAT, NULL, "the history file of timeline %u is malformed", h->timeline);
		h->ancestors[h->n].timeline = timeline;
		h->ancestors[h->n++].end = (uint64_t) hi << 32 | lo;
	}
	return SOV_OK;
}

enum sov_code
wal_history_read(struct sov_repo *repo, struct wal_history *h, struct sov_error *err)
{
	char		name[32],
				id[SOV_WAL_ID_MAX];
	struct sov_buf text = {0};
	enum sov_code rc;

	snprintf(name, sizeof name, "%08X.history", h->timeline);
	h->n = 0;
	sov_wal_object_id(repo, h->system_id, name, id);
	rc = wal_read_any(repo, id, &text, err);
	sov_write_u8(&text, 0);
	if (rc == SOV_OK)
		rc = text.bad ? sov_fail(err, SOV_E_NOMEM, NULL, "out of memory") : parse_history((char *) text.data, h, err);
	sov_buf_free(&text);
	return rc;
}

bool
wal_history_leads(const struct wal_history *h, uint32_t timeline, uint64_t lsn)
{
	if (timeline == h->timeline)
		return true;
	for (int i = 0; i < h->n; i++)
		if (h->ancestors[i].timeline == timeline)
			return lsn <= h->ancestors[i].end;
	return false;
}
