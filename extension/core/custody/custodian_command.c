/*
 * custodian_command.c - a custodian that is a program (protocol: sov_custodian.h).
 *
 * The program is started once, without a shell, with a socket as standard input
 * and output and nothing else open, and serves until it is closed.  Keys go over
 * that socket alone, never through arguments or the environment.  One that is too
 * slow, says something else than the protocol or ends is killed, and the call
 * fails: what it says is judged here, never believed.
 *
 * A thread at a time.
 */
#include "custodian_int.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sov_quorum.h"
#include "sov_text.h"

#define LINE_CAP SOV_CUSTODIAN_LINE
#define ARGS_MAX 32

extern char **environ;

struct command_custodian
{
	struct sov_custodian base;	/* first */
	pid_t		pid;
	int			fd;				/* -1: it has failed and is gone */
	int			wait_ms;		/* for one answer */
	char	   *line;			/* secret memory, LINE_CAP */
	char		program[200];	/* for messages */
	char		about[256];
};

/* --- the process --- */

static enum sov_code
start(struct command_custodian *c, char *const argv[], struct sov_error *err)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t	none,
				all;
	int			pair[2],
				failed;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
		return sov_fail_errno(err, errno, NULL, "could not start custodian %s", c->program);
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, pair[1], 0);
	posix_spawn_file_actions_adddup2(&actions, pair[1], 1);
	posix_spawn_file_actions_addclosefrom_np(&actions, 3);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	failed = posix_spawn(&c->pid, argv[0], &actions, &attr, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attr);
	close(pair[1]);
	if (failed)
	{
		close(pair[0]);
		c->pid = 0;
		return sov_fail(err, SOV_E_KEY, "is it there, and may this user run it?", "could not start custodian %s: %s", c->program, strerror(failed));
	}
	c->fd = pair[0];
	return SOV_OK;
}

/* It gets a second to end by itself. */
static void
stop(struct command_custodian *c, bool now)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	for (int i = 0; c->pid > 0; i++)
	{
		pid_t		got = waitpid(c->pid, NULL, WNOHANG);

		if (got == c->pid || (got < 0 && errno != EINTR))
			c->pid = 0;
		else if (now || i >= 100)
		{
			kill(c->pid, SIGKILL);
			(void) waitpid(c->pid, NULL, 0);
			c->pid = 0;
		}
		else
			(void) poll(NULL, 0, 10);
	}
}

/* The call fails, and so do all to come. */
static enum sov_code __attribute__((format(printf, 3, 4)))
broken(struct command_custodian *c, struct sov_error *err, const char *fmt, ...)
{
	char		what[300];
	va_list		ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof what, fmt, ap);
	va_end(ap);
	stop(c, true);
	sov_fail(err, SOV_E_KEY, "see what the custodian's own log says, and try \"pg_sovereign key show\"", "custodian %s %s", c->program, what);
	err->retryable = true;
	return SOV_E_KEY;
}

/* --- one request, one answer --- */

static enum sov_code
send_line(struct command_custodian *c, struct sov_error *err)
{
	size_t		len = strlen(c->line);
	ssize_t		n = send(c->fd, c->line, len, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n == (ssize_t) len)
		return SOV_OK;
	return n < 0 && errno == EPIPE ? broken(c, err, "ended without an answer") : broken(c, err, "does not take requests");
}

static enum sov_code
read_answer(struct command_custodian *c, struct sov_error *err)
{
	int64_t		end = sov_custodian_now_ms() + c->wait_ms;
	size_t		len = 0;

	for (;;)
	{
		struct pollfd p = {.fd = c->fd, .events = POLLIN};
		int64_t		left = end - sov_custodian_now_ms();
		ssize_t		n;

		if (left <= 0)
			return broken(c, err, "did not answer within %d seconds", c->wait_ms / 1000);
		if (poll(&p, 1, (int) left) <= 0)
			continue;
		n = recv(c->fd, c->line + len, LINE_CAP - 1 - len, MSG_DONTWAIT);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n <= 0)
			return broken(c, err, "ended without an answer");
		len += (size_t) n;
		c->line[len] = '\0';
		if (strlen(c->line) != len)
			return broken(c, err, "answered something that is not text");
		if (c->line[len - 1] == '\n')
		{
			c->line[len - 1] = '\0';
			return strchr(c->line, '\n') ? broken(c, err, "answered more than was asked") : SOV_OK;
		}
		if (len == LINE_CAP - 1)
			return broken(c, err, "answered too much");
	}
}

/* Text for people: nothing in it may steer a terminal. */
static void
clean(char *text)
{
	for (; *text; text++)
		if ((unsigned char) *text < 32 || *text == 127)
			*text = '?';
}

/* "error CODE[+] MESSAGE[\tHINT]" */
static enum sov_code
told_error(struct command_custodian *c, struct sov_error *err)
{
	char	   *code = c->line + 6,
			   *message = strchr(code, ' '),
			   *hint = message ? strchr(message, '\t') : NULL;
	enum sov_code rc = SOV_E_KEY;
	bool		retry;

	if (message == NULL || message == code)
		return broken(c, err, "answered something that is not of the protocol");
	retry = message[-1] == '+';
	message[retry ? -1 : 0] = '\0';
	for (int i = SOV_E_CONFIG; i <= SOV_E_DENIED; i++)
		if (strcmp(code, sov_code_name((enum sov_code) i)) == 0)
			rc = (enum sov_code) i;
	if (hint != NULL)
		*hint++ = '\0';
	clean(message + 1);
	if (hint != NULL)
		clean(hint);
	sov_fail(err, rc, NULL, "%s", message + 1);
	snprintf(err->hint, sizeof err->hint, "%s", hint ? hint : "");
	err->retryable = retry;
	return rc;
}

/* c->line holds the request; *value is what follows "ok ", inside c->line. */
static enum sov_code
ask(struct command_custodian *c, char **value, struct sov_error *err)
{
	enum sov_code rc;

	if (c->fd < 0)
		return broken(c, err, "has ended");
	rc = send_line(c, err);
	if (rc == SOV_OK)
		rc = read_answer(c, err);
	if (rc != SOV_OK)
		return rc;
	if (strncmp(c->line, "error ", 6) == 0)
		return told_error(c, err);
	if (strncmp(c->line, "ok ", 3) != 0)
		return broken(c, err, "answered something that is not of the protocol");
	*value = c->line + 3;
	return SOV_OK;
}

static enum sov_code
ask_bytes(struct command_custodian *c, const char *word, const uint8_t *in, size_t len, size_t min, size_t max,
		  uint8_t *out, size_t *out_len, struct sov_error *err)
{
	char	   *value;
	size_t		n = strlen(word);
	enum sov_code rc;

	memcpy(c->line, word, n);
	sov_hex(c->line + n, in, len);
	memcpy(c->line + n + 2 * len, "\n", 2);
	rc = ask(c, &value, err);
	if (rc == SOV_OK)
	{
		*out_len = strlen(value) / 2;
		if (strlen(value) % 2 || *out_len < min || *out_len > max || !sov_unhex(out, value, *out_len))
			rc = broken(c, err, "answered something that is not of the protocol");
	}
	sov_wipe(c->line, LINE_CAP);
	return rc;
}

/* --- operations --- */

static enum sov_code
command_wrap(struct sov_custodian *base, const uint8_t key[32], uint8_t blob[SOV_KWP_MAX], size_t *blob_len, struct sov_error *err)
{
	return ask_bytes((struct command_custodian *) base, "wrap ", key, SOV_KEY_LEN, 16, SOV_KWP_MAX, blob, blob_len, err);
}

static enum sov_code
command_unwrap(struct sov_custodian *base, const uint8_t *blob, size_t blob_len, uint8_t key[32], struct sov_error *err)
{
	size_t		len;

	if (blob_len > SOV_KWP_MAX)
		return sov_fail(err, SOV_E_FORMAT, NULL, "a wrapped key is too long");
	return ask_bytes((struct command_custodian *) base, "unwrap ", blob, blob_len, SOV_KEY_LEN, SOV_KEY_LEN, key, &len, err);
}

static void
command_describe(struct sov_custodian *base, char *dst, size_t cap)
{
	snprintf(dst, cap, "%s", ((struct command_custodian *) base)->about);
}

static void
command_close(struct sov_custodian *base)
{
	struct command_custodian *c = (struct command_custodian *) base;

	stop(c, false);
	sov_secret_free(c->line);
	free(c);
}

static enum sov_code
learn(struct command_custodian *c, struct sov_error *err)
{
	static const char *const bad = "describes itself in a way that is not of the protocol";
	char	   *value,
			   *grade,
			   *text;
	enum sov_code rc;

	snprintf(c->line, LINE_CAP, "describe\n");
	rc = ask(c, &value, err);
	if (rc != SOV_OK)
		return rc;
	grade = strchr(value, ' ');
	text = grade ? strchr(grade + 1, ' ') : NULL;
	if (text == NULL)
		return broken(c, err, "%s", bad);
	*grade++ = *text++ = '\0';
	for (int i = SOV_GRADE_NONE; i <= SOV_GRADE_DESTROY; i++)
		if (strcmp(grade, sov_custodian_grade_name((enum sov_custodian_grade) i)) == 0)
		{
			c->base.grade = (enum sov_custodian_grade) i;
			grade = NULL;
			break;
		}
	if (grade != NULL || !sov_uuid_parse(c->base.root_id, value) || text[0] == '\0')
		return broken(c, err, "%s", bad);
	clean(text);
	snprintf(c->about, sizeof c->about, "%s", text);
	return SOV_OK;
}

/* argv[0] is run as it is; NULL: what is asked is at the other end of fd. */
static enum sov_code
open_program(char *const argv[], int fd, const char *name, int wait_ms, struct sov_custodian **out, struct sov_error *err)
{
	struct command_custodian *c = calloc(1, sizeof *c);
	enum sov_code rc;

	if (c == NULL)
	{
		if (fd >= 0)
			close(fd);
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	}
	c->base.ops = &sov_custodian_command_ops;
	c->fd = fd;
	c->wait_ms = wait_ms;
	snprintf(c->program, sizeof c->program, "%s", name);
	c->line = sov_secret_alloc(LINE_CAP, err);
	rc = c->line ? SOV_OK : SOV_E_NOMEM;
	if (rc == SOV_OK && argv != NULL)
		rc = start(c, argv, err);
	if (rc == SOV_OK)
		rc = learn(c, err);
	c->wait_ms = SOV_CUSTODIAN_WAIT_MS;
	if (rc == SOV_OK)
		*out = &c->base;
	else
		command_close(&c->base);
	return rc;
}

/* Words of the URI, parted by spaces, are the arguments. */
static enum sov_code
command_open(const char *uri, struct sov_custodian **out, struct sov_error *err)
{
	char		words[1024],
			   *argv[ARGS_MAX + 1],
			   *save = NULL;
	int			n = 0;

	if (snprintf(words, sizeof words, "%s", uri + strlen("command:")) >= (int) sizeof words || words[0] != '/')
		return sov_fail(err, SOV_E_CONFIG, "for example: root = command:/usr/local/bin/keys --name prod", "the custodian's program is not an absolute path of less than %zu bytes", sizeof words);
	for (char *w = strtok_r(words, " ", &save); w != NULL; w = strtok_r(NULL, " ", &save))
	{
		if (n == ARGS_MAX)
			return sov_fail(err, SOV_E_CONFIG, NULL, "the custodian's program has more than %d arguments", ARGS_MAX - 1);
		argv[n++] = w;
	}
	argv[n] = NULL;
	return open_program(argv, -1, argv[0], SOV_CUSTODIAN_WAIT_MS, out, err);
}

enum sov_code
sov_custodian_open_helper(const char *program, const char *uri, struct sov_custodian **out, struct sov_error *err)
{
	char	   *argv[] = {(char *) program, "custodian", (char *) uri, NULL};
	char		name[32];

	snprintf(name, sizeof name, "%.*s", (int) strcspn(uri, ":"), uri);
	return open_program(argv, -1, name, strncmp(uri, "pkcs11:", 7) == 0 && strstr(uri, "pin-source=") == NULL ? SOV_CUSTODIAN_PROMPT_MS : SOV_CUSTODIAN_WAIT_MS, out, err);
}

enum sov_code
sov_custodian_open_fd(int fd, const char *name, struct sov_custodian **out, struct sov_error *err)
{
	return open_program(NULL, fd, name, SOV_CUSTODIAN_WAIT_MS, out, err);
}

enum sov_code
sov_quorum_ask(int *fd, char *line, char **value, struct sov_error *err)
{
	struct command_custodian c = {.fd = *fd, .wait_ms = SOV_CUSTODIAN_WAIT_MS, .line = line, .program = SOV_QUORUM_SCHEME};
	enum sov_code rc = ask(&c, value, err);

	*fd = c.fd;
	return rc;
}

const struct sov_custodian_ops sov_custodian_command_ops = {
	.scheme = "command",
	.open = command_open,
	.wrap = command_wrap,
	.unwrap = command_unwrap,
	.describe = command_describe,
	.close = command_close,
};
