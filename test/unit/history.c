/*
 * history - points of the history put together, whatever the clocks were and whatever
 * the file holds.
 */
#include <inttypes.h>
#include <jansson.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sov_config.h"
#include "sov_history.h"
#include "tap.h"

#define DAY INT64_C(86400)
#define NOW (20000 * DAY + 43200)

static struct sov_buf lines;

static void
point(int64_t seconds, int pack, const char *state, const char *more)
{
	char		line[400];

	snprintf(line, sizeof line, "{\"time_us\":%" PRId64 ",\"of\":\"point\",\"tolerated\":{\"pack\":%d},\"providers\":{\"a\":{\"state\":\"%s\",\"owed\":%d}}%s}\n",
			 seconds * 1000000, pack, state, 2 - pack, more);
	sov_write_bytes(&lines, line, strlen(line));
}

static int
count(void)
{
	int			n = 0;

	for (size_t i = 0; i < lines.len; i++)
		n += lines.data[i] == '\n';
	return n;
}

static json_t *
line(int n)
{
	const char *at = (const char *) lines.data;

	while (n-- > 0)
		at = strchr(at, '\n') + 1;
	return json_loadb(at, strcspn(at, "\n"), 0, NULL);
}

static void
days(void)
{
	json_t	   *d,
			   *a;

	lines.len = 0;
	point(NOW - 30 * DAY, 1, "active", ",\"found\":{\"tolerates\":1,\"missing\":0,\"damaged\":3,\"lost\":0}");
	point(NOW - 30 * DAY + 60, 0, "down", "");
	point(NOW - 30 * DAY + 120, 1, "active", ",\"found\":{\"tolerates\":0,\"missing\":1,\"damaged\":0,\"lost\":0}");
	for (int i = 0; i < 10; i++)
		point(NOW - 600 + 60 * i, 1, "active", "");
	ok(sov_history_thin(&lines) && count() == 11, "an old day is one point, the last days stay");
	sov_write_u8(&lines, 0);
	d = line(0);
	a = json_object_get(json_object_get(d, "providers"), "a");
	ok(strcmp(json_string_value(json_object_get(d, "of")), "day") == 0 && json_integer_value(json_object_get(json_object_get(d, "tolerated"), "pack")) == 0 &&
	   strcmp(json_string_value(json_object_get(a, "state")), "down") == 0 && json_integer_value(json_object_get(a, "owed")) == 2, "with the worst of it");
	a = json_object_get(d, "found");
	ok(json_integer_value(json_object_get(a, "tolerates")) == 0 && json_integer_value(json_object_get(a, "missing")) == 1 && json_integer_value(json_object_get(a, "damaged")) == 3, "also of what was found");
	ok(json_integer_value(json_object_get(d, "time_us")) == (NOW - 30 * DAY + 120) * 1000000, "and the time of its last");
	json_decref(d);
	lines.len--;
	ok(sov_history_thin(&lines) && count() == 11, "once more changes nothing");
}

static void
bounds(void)
{
	lines.len = 0;
	for (int i = 0; i < 3 * SOV_HISTORY_MAX; i++)
		point(NOW - DAY + i * 10, i == 777 ? 0 : 1, "active", "");
	ok(sov_history_thin(&lines) && count() < 30, "very many of one day become hours");
	lines.data[lines.len - 1] = '\0';
	ok(strstr((char *) lines.data, "\"pack\":0") != NULL, "and none of them hides a loss");
	lines.len = 0;
	for (int i = 0; i < SOV_HISTORY_MAX + 500; i++)
		point(NOW - (SOV_HISTORY_MAX + 500 - i) * DAY, 1, "active", "");
	ok(sov_history_thin(&lines) && count() == SOV_HISTORY_MAX, "the oldest of too many days go");
	lines.len = 0;
	for (int i = 0; i < SOV_HISTORY_MAX + 500; i++)
		point(i % 2 ? NOW : DAY, 1, "active", "");
	ok(sov_history_thin(&lines) && count() <= SOV_HISTORY_MAX, "a clock that jumps for ever does not make it grow");
}

static void
clocks(void)
{
	lines.len = 0;
	for (int i = 20; i > 0; i--)
		point(NOW - i * DAY, 1, "active", "");
	point(NOW + 4000 * DAY, 1, "active", "");
	ok(sov_history_thin(&lines) && count() == 21, "a clock far ahead puts no day away");
	point(DAY, 1, "active", "");
	ok(sov_history_thin(&lines) && count() == 22, "nor does one of 1970");
}

static void
rubbish(void)
{
	static const char *const bad[] = {
		"\n", "x\n", "{}\n", "[]\n", "{\"time_us\":-5,\"tolerated\":{},\"providers\":{}}\n", "{\"time_us\":1e300,\"tolerated\":{},\"providers\":{}}\n",
		"{\"time_us\":9223372036854775807,\"tolerated\":{},\"providers\":{}}\n", "{\"time_us\":5,\"tolerated\":7,\"providers\":{}}\n",
		"{\"time_us\":5,\"tolerated\":{},\"providers\":[]}\n", "{\"time_us\":5,\"tolerated\":{},\"prov"
	};
	static const char *const odd[] = {
		"{\"time_us\":5,\"tolerated\":{\"pack\":\"x\"},\"providers\":{\"a\":7}}\n", "{\"time_us\":6,\"tolerated\":{\"pack\":1},\"providers\":{\"a\":{\"state\":3,\"bytes\":\"many\"}},\"found\":[]}\n",
		"{\"time_us\":7,\"tolerated\":{\"pack\":9223372036854775807},\"providers\":{\"a\":null},\"found\":{\"missing\":null}}\n"
	};

	lines.len = 0;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		sov_write_bytes(&lines, bad[i], strlen(bad[i]));
	ok(sov_history_thin(&lines) && count() == 0, "what is no point goes");
	lines.len = 0;
	for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++)
		sov_write_bytes(&lines, odd[i], strlen(odd[i]));
	point(NOW, 1, "active", "");
	ok(sov_history_thin(&lines) && count() == 2, "odd ones are put together all the same");
}

static void
reading(void)
{
	static struct sov_config cfg;
	char		path[1200];
	struct sov_buf json = {0};
	struct sov_error err;
	json_t	   *doc;
	FILE	   *f;

	snprintf(cfg.state_directory, sizeof cfg.state_directory, "/tmp/sovhistory.%ld", (long) getpid());
	mkdir(cfg.state_directory, 0700);
	ok_rc(sov_history_read(&cfg, NOW * 1000000, &json, &err), err, "without a file");
	ok(strstr((char *) json.data, "\"points\":[]") != NULL, "there are no points");
	lines.len = 0;
	point(NOW - 60, 1, "active", "");
	point(NOW - 3600, 1, "active", "");
	point(NOW + 2 * DAY, 1, "active", "");
	point(DAY, 1, "active", "");
	sov_write_bytes(&lines, "{\"time_us\":1", 12);
	snprintf(path, sizeof path, "%s/history", cfg.state_directory);
	f = fopen(path, "w");
	ok(f && fwrite(lines.data, 1, lines.len, f) == lines.len && fclose(f) == 0, "a file with a torn line");
	json.len = 0;
	ok_rc(sov_history_read(&cfg, NOW * 1000000, &json, &err), err, "is read");
	doc = json_loads((char *) json.data, 0, NULL);
	ok(json_array_size(json_object_get(doc, "points")) == 2 && json_integer_value(json_object_get(doc, "later")) == 1 &&
	   json_integer_value(json_object_get(doc, "earlier")) == 1 && json_integer_value(json_object_get(doc, "unreadable")) == 1, "what it leaves out is counted");
	ok(strcmp(json_string_value(json_object_get(json_array_get(json_object_get(doc, "points"), 0), "time")), "2024-10-04T11:00:00Z") == 0, "points are in the order of time");
	json_decref(doc);
	sov_buf_free(&json);
	unlink(path);
	rmdir(cfg.state_directory);
}

int
main(void)
{
	days();
	bounds();
	clocks();
	rubbish();
	reading();
	sov_buf_free(&lines);
	return tap_done();
}
