/* ALSA's error handler is variadic, which stable Rust cannot define: C formats the message here. */

#include <alsa/asoundlib.h>
#include <stdarg.h>
#include <stdio.h>

static void (*sink)(const char *text);

static void report(const char *file, int line, const char *function, int error, const char *format, ...)
{
    char text[512];
    va_list arguments;

    (void)file;
    (void)line;
    (void)function;
    (void)error;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);

    sink(text);
}

/* Call it before any other thread uses ALSA. Returns 0 or a negative error code. */
int tandem_redirect_alsa_reports(void (*to)(const char *text))
{
    sink = to;
    return snd_lib_error_set_handler(report);
}
