/*
 * scripted.h - a small server in a thread that answers each request with the next
 * line of a script, and keeps what it was asked.
 */
#ifndef SCRIPTED_H
#define SCRIPTED_H

#include <arpa/inet.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_REPLIES 32

static int	port;				/* of the server, on 127.0.0.1 and ::1 */
static const char *replies[MAX_REPLIES];
static int	n_replies;
static _Atomic int served,
			connections;
static char requests[MAX_REPLIES + 8][4096];

/* Read a request with its body; false at the end of the connection. */
static bool
read_request(int fd, char *head, size_t cap)
{
	static _Thread_local char buf[65536];
	size_t		n = 0;
	char	   *end,
			   *len;
	long		body;

	memset(buf, 0, sizeof buf);
	while ((end = strstr(buf, "\r\n\r\n")) == NULL)
	{
		ssize_t		r = n < sizeof buf - 1 ? read(fd, buf + n, 1) : 0;

		if (r <= 0)
			return false;
		n += (size_t) r;
	}
	snprintf(head, cap, "%s", buf);
	len = strcasestr(buf, "\r\nContent-Length: ");
	for (body = len ? atol(len + 18) : 0; body > 0;)
	{
		ssize_t		r = read(fd, buf, (size_t) body < sizeof buf ? (size_t) body : sizeof buf);

		if (r <= 0)
			return false;
		body -= r;
	}
	return true;
}

/* "CLOSE " before a reply ends the connection behind it; "SLEEP" says nothing
 * for a while. */
static void *
serve(void *arg)
{
	int			fd = (int) (intptr_t) arg;
	char		head[sizeof requests[0]];

	for (;;)
	{
		int			i;
		const char *text;

		/* which one it is, is known when it has come */
		if (!read_request(fd, head, sizeof head))
			break;
		i = served++;
		memcpy(requests[i % MAX_REPLIES], head, sizeof head);
		text = i < n_replies ? replies[i] : "CLOSE ";
		if (strcmp(text, "SLEEP") == 0)
		{
			sleep(4);
			break;
		}
		if (send(fd, text + (strncmp(text, "CLOSE ", 6) ? 0 : 6), strlen(text) - (strncmp(text, "CLOSE ", 6) ? 0 : 6), MSG_NOSIGNAL) < 0)
			break;
		if (strncmp(text, "CLOSE ", 6) == 0)
			break;
	}
	close(fd);
	return NULL;
}

static void *
listen_main(void *arg)
{
	int			listener = (int) (intptr_t) arg;

	for (;;)
	{
		int			fd = accept(listener, NULL, NULL);
		pthread_t	id;

		if (fd < 0)
			return NULL;
		connections++;
		pthread_create(&id, NULL, serve, (void *) (intptr_t) fd);
		pthread_detach(id);
	}
}

static void
start_server(void)
{
	struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = in6addr_any};
	socklen_t	len = sizeof a;
	int			fd = socket(AF_INET6, SOCK_STREAM, 0),
				off = 0;
	pthread_t	id;

	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
	if (bind(fd, (struct sockaddr *) &a, sizeof a) != 0 || listen(fd, 16) != 0 || getsockname(fd, (struct sockaddr *) &a, &len) != 0)
		exit(2);
	port = ntohs(a.sin6_port);
	pthread_create(&id, NULL, listen_main, (void *) (intptr_t) fd);
	pthread_detach(id);
}

static void
script(int n, const char *const *list)
{
	served = 0;
	n_replies = n;
	for (int i = 0; i < n; i++)
		replies[i] = list[i];
}
#define SCRIPT(...) do { static const char *const list_[] = {__VA_ARGS__}; script((int) (sizeof list_ / sizeof list_[0]), list_); } while (0)

#endif
