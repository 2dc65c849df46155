/* Stands for Tandem in the tests of its setup: a small program for Windows.
 *
 *   --version       prints VERSION
 *   --press TITLE N waits for an open dialog whose title begins with TITLE and that has a button N, and clicks it
 *   otherwise       makes the file `started` in its working folder, and runs until the file `stop` is there
 */
#include <stdio.h>
#include <windows.h>

#define LIMIT_MS 60000
#define PAUSE_MS 50

static const wchar_t *title;
static int button;
static HWND found;

static BOOL CALLBACK look(HWND window, LPARAM unused) {
    (void)unused;
    wchar_t text[200] = L"";
    GetWindowTextW(window, text, 200);
    HWND control = GetDlgItem(window, button);
    if (wcsncmp(text, title, wcslen(title)) || !IsWindowVisible(window) || !control || !IsWindowVisible(control) ||
        !IsWindowEnabled(control))
        return TRUE;
    found = window;
    return FALSE;
}

static int press(void) {
    for (int waited = 0; waited < LIMIT_MS; waited += PAUSE_MS) {
        EnumWindows(look, 0);
        if (found) {
            wchar_t text[200] = L"";
            GetWindowTextW(GetDlgItem(found, button), text, 200);
            printf("pressed %ls\n", text);
            PostMessageW(found, WM_COMMAND, (WPARAM)button, (LPARAM)GetDlgItem(found, button));
            return 0;
        }
        Sleep(PAUSE_MS);
    }
    return 1;
}

int wmain(int count, wchar_t **words) {
    if (count > 1 && !wcscmp(words[1], L"--version")) {
        puts("tandem " VERSION);
        return 0;
    }
    if (count > 3 && !wcscmp(words[1], L"--press")) {
        title = words[2];
        button = _wtoi(words[3]);
        return press();
    }

    FILE *file = _wfopen(L"started", L"w");
    if (!file)
        return 1;
    fclose(file);
    while (GetFileAttributesW(L"stop") == INVALID_FILE_ATTRIBUTES)
        Sleep(PAUSE_MS);
    return 0;
}
