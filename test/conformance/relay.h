/*
 * relay.h - a TCP relay in threads of the test program: between an adapter and
 * its server it can vanish, come back, add latency and count connections; it can also be
 * a proxy that wants to be asked for the way (CONNECT), by one who says who he is.
 */
#ifndef RELAY_H
#define RELAY_H

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define RELAY_MAX 64

struct relay
{
	int			listener;
	int			port;			/* ours, on 127.0.0.1 */
	int			target;			/* the server's */
	_Atomic bool down;			/* accept nothing, and drop what there is */
	_Atomic long delay_ms;		/* one way, added to every piece */
	_Atomic long connections;
	const char *proxy_for;		/* "USER:PASSWORD" in base64, or NULL: no proxy */
	_Atomic long let_through;
};

struct relay_pair
{
	struct relay *relay;
	int			fd[2];
};

static int
relay_socket(int port, bool connecting)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t) port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int			fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
				one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (connecting ? connect(fd, (struct sockaddr *) &a, sizeof a) : bind(fd, (struct sockaddr *) &a, sizeof a) || listen(fd, 64))
	{
		close(fd);
		return -1;
	}
	return fd;
}

/* A proxy: what asks for the way, and may go it. */
static bool
relay_lets_through(struct relay_pair *pair)
{
	char		head[4096] = "";
	size_t		n = 0;
	const char *answer = "HTTP/1.1 200 OK\r\n\r\n";
	bool		may;

	while (n < sizeof head - 1 && strstr(head, "\r\n\r\n") == NULL && read(pair->fd[0], head + n, 1) == 1)
		n++;
	may = strncmp(head, "CONNECT ", 8) == 0 && strstr(head, "Proxy-Authorization: Basic ") != NULL && strstr(head, pair->relay->proxy_for) != NULL;
	if (!may)
		answer = "HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n";
	pair->relay->let_through += may;
	return send(pair->fd[0], answer, strlen(answer), MSG_NOSIGNAL) > 0 && may;
}

/* Both ways until one side ends or the relay is down. */
static void *
relay_pair_main(void *arg)
{
	struct relay_pair *pair = arg;
	struct pollfd p[2] = {{pair->fd[0], POLLIN, 0}, {pair->fd[1], POLLIN, 0}};
	static _Thread_local char buf[65536];
	bool		open = pair->relay->proxy_for == NULL || relay_lets_through(pair);

	while (open && !pair->relay->down)
	{
		if (poll(p, 2, 50) <= 0)
			continue;
		for (int i = 0; i < 2 && open; i++)
		{
			ssize_t		n,
						sent = 0;

			if (!p[i].revents)
				continue;
			n = read(p[i].fd, buf, sizeof buf);
			if (n > 0 && pair->relay->delay_ms > 0)
			{
				struct timespec ts = {pair->relay->delay_ms / 1000, pair->relay->delay_ms % 1000 * 1000000};

				nanosleep(&ts, NULL);
			}
			while (n > 0 && sent < n)
			{
				ssize_t		m = send(p[1 - i].fd, buf + sent, (size_t) (n - sent), MSG_NOSIGNAL);

				if (m <= 0)
					break;
				sent += m;
			}
			open = n > 0 && sent == n;
		}
	}
	close(pair->fd[0]);
	close(pair->fd[1]);
	free(pair);
	return NULL;
}

static void *
relay_main(void *arg)
{
	struct relay *r = arg;

	for (;;)
	{
		int			fd = accept4(r->listener, NULL, NULL, SOCK_CLOEXEC),
					to,
					one = 1;
		struct relay_pair *pair;
		pthread_t	id;

		if (fd < 0)
			return NULL;
		to = r->down ? -1 : relay_socket(r->target, true);
		if (to < 0)
		{
			close(fd);
			continue;
		}
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		r->connections++;
		pair = malloc(sizeof *pair);
		*pair = (struct relay_pair) {r, {fd, to}};
		pthread_create(&id, NULL, relay_pair_main, pair);
		pthread_detach(id);
	}
}

/* Runs until the program ends. */
static bool
relay_start(struct relay *r, int target)
{
	struct sockaddr_in a;
	socklen_t	len = sizeof a;
	pthread_t	id;

	memset(r, 0, sizeof *r);
	r->target = target;
	r->listener = relay_socket(0, false);
	if (r->listener < 0 || getsockname(r->listener, (struct sockaddr *) &a, &len) != 0)
		return false;
	r->port = ntohs(a.sin_port);
	if (pthread_create(&id, NULL, relay_main, r) != 0)
		return false;
	pthread_detach(id);
	return true;
}

#endif
