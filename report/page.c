#include "report/tale.h"
int tale_page(const struct tale *tale, const char *title, const char *path, struct error *error)
{
	(void)tale; (void)title;
	return error_set(error, "%s: not yet", path);
}
