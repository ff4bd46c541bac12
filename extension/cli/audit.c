/*
 * audit.c - what commands note in the audit log.
 */
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "sov_audit.h"

/*
 * The log's own shipper (cmd_audit.c) may hold the lock: then it takes the entry in.
 * A host that only restores or verifies begins no chain of its own, which would make
 * it a writer: what it notes waits in its queue until it is one.
 */
void
cli_audit(const struct sov_config *cfg, struct sov_repo *repo, int event, enum sov_code code, const char *fmt, ...)
{
	struct sov_audit_entry e = {.event = (uint8_t) event, .outcome = code == SOV_OK ? SOV_AUDIT_DONE : SOV_AUDIT_FAILED};
	struct passwd *pw = getpwuid(getuid());
	struct sov_audit_shipped done;
	struct sov_error err;
	char		dir[1100],
				chain[1200];
	va_list		ap;
	enum sov_code rc;

	if (!sov_audit_directory(cfg, dir, sizeof dir))
		return;
	e.time_us = (uint64_t) cli_now_us();
	e.process = (uint32_t) getpid();
	snprintf(e.user, sizeof e.user, "%s", pw ? pw->pw_name : "?");
	snprintf(e.current_user, sizeof e.current_user, "uid %u", (unsigned) geteuid());
	snprintf(e.client, sizeof e.client, "local");
	snprintf(e.application, sizeof e.application, "pg_sovereign");
	va_start(ap, fmt);
	vsnprintf(e.text, sizeof e.text, fmt, ap);
	va_end(ap);
	if (code != SOV_OK)
		snprintf(e.text + strlen(e.text), sizeof e.text - strlen(e.text), "%s%s", e.text[0] ? ": " : "", sov_code_name(code));
	rc = sov_audit_queue(dir, &e, 1, true, NULL, 0, &err);
	snprintf(chain, sizeof chain, "%s/chain.key", dir);
	if (rc == SOV_OK && repo != NULL && ((event != SOV_AUDIT_RESTORE && event != SOV_AUDIT_VERIFY) || access(chain, F_OK) == 0))
		rc = sov_audit_ship(repo, &done, &err);
	if (rc != SOV_OK && rc != SOV_E_STATE)
		cli_note("audit log: %s%s", err.message, repo ? "; what is noted stays on this host and is brought there later" : "");
}
