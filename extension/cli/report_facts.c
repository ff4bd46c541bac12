/*
 * report_facts.c - the document of the report: see report_page.h.
 */
#include <string.h>
#include <strings.h>

#include "databases.h"
#include "report_page.h"
#include "sov_history.h"
#include "sov_keyring.h"

static void
add_once(json_t *list, const char *text)
{
	json_t	   *one;
	size_t		i;

	json_array_foreach(list, i, one)
		if (strcmp(json_string_value(one), text) == 0)
			return;
	json_array_append_new(list, json_string(text));
}

static void
add_items(json_t *list, const char *items)
{
	char		one[120];

	for (int i = 0; items != NULL && sov_list_at(items, i, one, sizeof one); i++)
		if (strcmp(one, "none-found") != 0)
			add_once(list, one);
}

/* Every law that is known to reach it; *known when nothing about that is unknown. */
static json_t *
laws_of(const struct sov_profile *p, bool *known)
{
	json_t	   *laws = json_array();

	*known = p->claims[SOV_VENDOR_SEAT].value && p->claims[SOV_VENDOR_LOCATION].value && p->claims[SOV_VENDOR_JURISDICTIONS].value;
	add_items(laws, p->claims[SOV_VENDOR_SEAT].value);
	add_items(laws, p->claims[SOV_VENDOR_LOCATION].value);
	add_items(laws, p->claims[SOV_VENDOR_JURISDICTIONS].value);
	return laws;
}

/* --- who reaches how many shards --- */

/* One more provider under that name. */
static void
reach(json_t *list, const char *name, const char *provider, int needed)
{
	json_t	   *one = NULL,
			   *providers;
	size_t		i;

	json_array_foreach(list, i, one)
		if (strcmp(report_string(one, "name"), name) == 0)
			break;
	if (i == json_array_size(list))
	{
		one = json_pack("{s:s, s:[], s:i, s:b}", "name", name, "providers", "shards", 0, "reaches", 0);
		json_array_append_new(list, one);
	}
	providers = json_object_get(one, "providers");
	add_once(providers, provider);
	json_object_set_new(one, "shards", json_integer((json_int_t) json_array_size(providers)));
	json_object_set_new(one, "reaches", json_boolean((int) json_array_size(providers) >= needed));
}

static void
reach_items(json_t *list, const char *items, const char *provider, int needed)
{
	char		one[120];

	for (int i = 0; items != NULL && sov_list_at(items, i, one, sizeof one); i++)
		reach(list, one, provider, needed);
}

static json_t *
reach_of(const struct provider_view *v)
{
	json_t	   *operators = json_array(),
			   *parents = json_array(),
			   *laws = json_array(),
			   *law;
	int			no_operator = 0,
				no_parent = 0,
				no_laws = 0;
	size_t		j;

	for (int i = 0; i < v->cfg.n_providers; i++)
	{
		const struct sov_provider_config *p = &v->cfg.providers[i];
		struct sov_profile profile;
		bool		known;
		json_t	   *own;

		if (p->state == SOV_PROVIDER_DRAIN)
			continue;
		sov_profile_make(v->vendors, &v->cfg, p, &profile);
		own = laws_of(&profile, &known);
		json_array_foreach(own, j, law)
			reach(laws, json_string_value(law), p->name, v->cfg.needed);
		json_decref(own);
		reach_items(operators, profile.claims[SOV_VENDOR_OPERATOR].value, p->name, v->cfg.needed);
		reach_items(operators, profile.claims[SOV_VENDOR_UNDERLYING].value, p->name, v->cfg.needed);
		reach_items(parents, profile.claims[SOV_VENDOR_PARENT].value, p->name, v->cfg.needed);
		no_laws += !known;
		no_operator += profile.claims[SOV_VENDOR_OPERATOR].value == NULL;
		no_parent += profile.claims[SOV_VENDOR_PARENT].value == NULL;
	}
	return json_pack("{s:o, s:o, s:o, s:{s:i, s:i, s:i}}", "operators", operators, "parents", parents, "laws", laws,
					 "unknown", "operators", no_operator, "parents", no_parent, "laws", no_laws);
}

/* --- who reaches the root key --- */

static bool
runner_known(const struct provider_view *v)
{
	return v->cfg.custodian.value[0] != '\0' && strcmp(v->cfg.custodian.value, "unknown") != 0;
}

/* Providers that whoever runs the custodian runs or owns as well; null: it is not known
 * who runs it. */
static json_t *
key_reach_of(const struct provider_view *v)
{
	json_t	   *list = json_array();

	if (!runner_known(v))
	{
		json_decref(list);
		return json_null();
	}
	for (int i = 0; i < v->policy.n; i++)
		if (strcmp(v->policy.violations[i].rule, "custodian") == 0 && v->policy.violations[i].provider >= 0)
			add_once(list, v->cfg.providers[v->policy.violations[i].provider].name);
	return list;
}

/* Laws that reach who runs the custodian, as the catalogue has it; null: it does not. */
static json_t *
key_laws_of(const struct provider_view *v)
{
	json_t	   *laws = json_array();
	char		name[SOV_NAME_MAX];

	for (int n = 0; runner_known(v) && sov_list_at(v->cfg.custodian.value, n, name, sizeof name); n++)
		for (int i = 0; i < sov_vendors_count(v->vendors); i++)
		{
			const struct sov_vendor *vendor = sov_vendors_at(v->vendors, i);

			if (strcasecmp(vendor->name, name) != 0 && strcasecmp(claim_text(&vendor->claims[SOV_VENDOR_OPERATOR]), name) != 0)
				continue;
			add_items(laws, vendor->claims[SOV_VENDOR_SEAT].value);
			add_items(laws, vendor->claims[SOV_VENDOR_JURISDICTIONS].value);
		}
	if (json_array_size(laws) > 0)
		return laws;
	json_decref(laws);
	return json_null();
}

/* --- providers --- */

/* All backups' shards are spread evenly; those of WAL are not counted in the facts. */
static json_t *
about_bytes(const struct provider_view *v, const json_t *facts)
{
	json_t	   *one;
	double		sum = 0;
	size_t		i;

	if (facts == NULL || v->cfg.shards == 0)
		return json_null();
	json_array_foreach(json_object_get(facts, "backups"), i, one)
		sum += (double) report_number(one, "stored");
	return json_real(sum / v->cfg.shards);
}

static json_t *
facts_of(const json_t *facts, const char *provider)
{
	json_t	   *one;
	size_t		i;

	json_array_foreach(json_object_get(facts, "providers"), i, one)
		if (strcmp(report_string(one, "provider"), provider) == 0)
			return json_incref(one);
	return json_null();
}

static json_t *
providers_of(const struct provider_view *v, const json_t *facts)
{
	json_t	   *list = json_array();

	for (int i = 0; i < v->cfg.n_providers; i++)
	{
		json_t	   *one = provider_view_json(v, i);
		struct sov_profile profile;
		bool		known;

		sov_profile_make(v->vendors, &v->cfg, &v->cfg.providers[i], &profile);
		json_object_set_new(one, "laws", laws_of(&profile, &known));
		json_object_set_new(one, "laws_known", json_boolean(known));
		json_object_set_new(one, "facts", facts_of(facts, v->cfg.providers[i].name));
		json_object_set_new(one, "about_bytes", about_bytes(v, facts));
		json_array_append_new(list, one);
	}
	return list;
}

static json_t *
tolerated(const json_t *facts)
{
	json_t	   *one,
			   *least = NULL;
	size_t		i;

	json_array_foreach(json_object_get(facts, "redundancy"), i, one)
		if (least == NULL || report_number(one, "losses_tolerated") < json_integer_value(least))
			least = json_object_get(one, "losses_tolerated");
	return least ? json_incref(least) : json_null();
}

/* Without it, what is now is told all the same. */
static json_t *
history_of(const struct provider_view *v)
{
	struct sov_buf text = {0};
	struct sov_error err;
	json_t	   *history = NULL;

	if (sov_history_read(&v->cfg, cli_now_us(), &text, &err) == SOV_OK)
		history = json_loads((const char *) text.data, 0, NULL);
	else
		cli_note("the history is left out: %s", err.message);
	sov_buf_free(&text);
	return history ? history : json_null();
}

/* Does this host have no key to what the repository holds?  By its configuration, and by
 * the keyring, if that could be asked. */
static bool
writes_only(const struct provider_view *v, json_t *custody)
{
	json_t	   *repository = json_object_get(custody, "repository"),
			   *key;
	bool		opens = false;
	size_t		i;

	json_array_foreach(json_object_get(repository, "keys"), i, key)
		opens = opens || (strcmp(json_string_value(json_object_get(key, "name")), "content") == 0 &&
						  strcmp(json_string_value(json_object_get(key, "of")), SOV_DOMAIN_REPOSITORY) == 0);
	return v->cfg.write_only && v->cfg.content[0] == '\0' && json_is_true(json_object_get(repository, "sealed_content")) && !opens;
}

json_t *
report_document(const struct provider_view *v)
{
	static const char *const taken[] = {"seen", "redundancy", "backups", "wal", "verified", "drills"};
	struct sov_error err;
	json_t	   *facts = cli_facts(&v->cfg, &err);
	char		now[64];
	json_t	   *doc;

	if (facts == NULL)
		cli_note("%s", err.message);
	doc = json_pack("{s:i, s:s, s:s, s:s, s:i, s:i, s:o, s:o, s:o, s:b, s:o}", "schema", 1, "generated", cli_time_text(cli_now_us(), now, sizeof now),
					"configuration", v->cfg.file, "repository", v->cfg.repo_name, "needed", v->cfg.needed, "shards", v->cfg.shards,
					"providers", providers_of(v, facts), "reach", reach_of(v), "custody", key_where_document(&v->cfg),
					"key_on_server", strncmp(v->cfg.root, "file:", 5) == 0, "losses_tolerated", tolerated(facts));
	json_object_set_new(doc, "write_only", json_boolean(writes_only(v, json_object_get(doc, "custody"))));
	json_object_set_new(doc, "key_reach", key_reach_of(v));
	json_object_set_new(doc, "key_laws", key_laws_of(v));
	json_object_set_new(doc, "history", history_of(v));
	json_object_set_new(doc, "audit", report_audit_facts(&v->cfg));
	json_object_set_new(doc, "custodian_operator", v->cfg.custodian.value[0] ? json_string(v->cfg.custodian.value) : json_null());
	for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++)
	{
		json_t	   *value = facts ? json_object_get(facts, taken[i]) : NULL;

		json_object_set(doc, taken[i], value ? value : json_null());
	}
	json_decref(facts);
	return doc;
}
