/*
 * files.h - the files of a data directory, as a backup sees them.
 */
#ifndef FILES_H
#define FILES_H

#include "sov_backup.h"

struct plan_file
{
	char	   *path;			/* relative to PGDATA */
	uint8_t		type;			/* 'f', 'd' */
	uint32_t	mode;
	uint64_t	size;
	uint64_t	mtime_us;
	bool		relation;		/* pages with checksums */
	uint32_t	first_page;		/* block number of the segment's first page */
};

struct file_list
{
	size_t		n,
				cap;
	struct plan_file *files;	/* sorted by path once files_walk is done */
	uint64_t	bytes;
	bool		nomem;
	sov_note_fn note;			/* for what is left out with a warning */
	void	   *note_ctx;
};

extern enum sov_code files_walk(const char *data_directory, const struct sov_source_info *info,
								struct file_list *list, struct sov_error *err);
extern void files_free(struct file_list *list);

#endif
