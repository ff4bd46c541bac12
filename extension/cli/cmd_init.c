/*
 * cmd_init.c - makes the repository at every provider.
 */
#include <stdio.h>

#include "cli.h"
#include "sov_repo.h"

const char	cmd_init_help[] =
	"pg_sovereign init - make the repository at every configured provider\n\n"
	"Usage:\n"
	"  pg_sovereign [-c FILE] init\n\n"
	"Every provider of the configuration must answer and be empty.  Makes new\n"
	"repository keys, wraps them under the root key, and writes keyring, identity and\n"
	"the first administrator's head to each provider.  An interrupted init can be run\n"
	"again.  The fingerprint that is printed may be pinned in the configuration\n"
	"([repository] controller = ...): then no other repository is ever accepted.\n\n"
	"With \"content\" in [custody] what is stored is sealed to a public key, and the\n"
	"private one goes to that custodian: \"host = write-only\" in [repository] needs it.\n";

int
cmd_init(int argc, char **argv, const struct cli_context *ctx)
{
	static const struct option longs[] = {{NULL, 0, NULL, 0}};
	struct sov_config cfg;
	struct sov_error err;
	struct sov_repo *repo;
	char		uuid[37],
				fingerprint[SOV_FINGERPRINT_LEN],
				location[1200];

	if (cli_getopt(argc, argv, "", longs) != -1)
		return cli_exit_code(SOV_E_USAGE);
	if (optind < argc)
		return cli_usage_error("init", "\"%.40s\" is one argument too many", argv[optind]);
	if (cli_read_config(ctx, SOV_NEED_REPOSITORY, &cfg, &err) != SOV_OK ||
		sov_repo_init(&cfg, cli_note_callback, NULL, &repo, &err) != SOV_OK)
		return cli_report(&err);
	sov_uuid_text(uuid, repo->keys->repo);
	sov_repo_fingerprint(repo->keys->controller_pub, fingerprint);
	printf("repository %s (%s)\n", cfg.repo_name, uuid);
	for (int i = 0; i < repo->n_providers; i++)
	{
		sov_provider_config_location(&cfg.providers[i], location, sizeof location);
		if (repo->providers[i].known)
			printf("  provider %-16s %s\n", cfg.providers[i].name, location);
	}
	printf("any %d of %d providers restore everything; %d may vanish\n", cfg.needed, cfg.shards, cfg.shards - cfg.needed);
	printf("controller %s\n", fingerprint);
	if (repo->keys->has_pair)
	{
		printf("content is sealed to a public key; the private one is with the content custodian\n");
		cli_note("take the line \"content\" out of [custody] on the database host, and keep that custodian's key elsewhere: without it nothing can be restored");
	}
	cli_close_repository(repo);
	return 0;
}
