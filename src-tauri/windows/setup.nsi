; Installs Tandem for one user, without administrator rights. `cargo xtask bundle --target windows` compiles it; the
; release workflow uses the same script (docs/installing.md says what it does for the user).
;
; Nothing of an installed version is touched before all new files are on the disk: they are written to a folder beside
; the program first, and then renamed. So a full disk or a folder that cannot be written leaves the old version as it is.
;
; makensis gets these names:
;   VERSION    such as 0.2.0-rc.1
;   NUMBERS    the same without what follows the numbers: 0.2.0
;   FILES      the folder with tandem.exe, licenses.txt and, if the program needs it, WebView2Loader.dll
;   ICON       the icon of setup and uninstaller
;   OUT        the setup to write
;   STUB       amd64-unicode, or x86-unicode where NSIS has no other (its own build for Windows)
;   SIGN       optional: a command line that signs the file whose path is put after it

!ifndef STUB
  !define STUB amd64-unicode
!endif

Target ${STUB}
Unicode true
SetCompressor /SOLID lzma
RequestExecutionLevel user
CRCCheck force
ManifestDPIAware true
ManifestSupportedOS Win10

!include LogicLib.nsh
!include MUI2.nsh
!include FileFunc.nsh
!include nsDialogs.nsh
!include x64.nsh
!include Win\COM.nsh
!include Win\Propkey.nsh

!define NAME Tandem
; The same as in tauri.conf.json: the web view keeps its data in a folder of this name, and notifications show the
; name and icon of the shortcut that has it.
!define IDENTIFIER org.tandemchat.tandem
!define UNINSTALL_KEY "Software\Microsoft\Windows\CurrentVersion\Uninstall\${NAME}"
!define LINK_KEY "Software\Classes\tandem"
; Where the Evergreen WebView2 Runtime says that it is installed (Microsoft, "Distribute your app and the WebView2
; Runtime").
!define WEBVIEW2_KEY "Microsoft\EdgeUpdate\Clients\{F3017226-FE2A-4295-8BDF-00C3A9A7E4C5}"
!define WEBVIEW2_PAGE "https://developer.microsoft.com/microsoft-edge/webview2/#download"

; Exit codes. 0 and 1 (cancelled) are NSIS's own.
!define FAILED 2
!define IS_RUNNING 3
!define SECOND_SETUP 4

Name "${NAME}"
OutFile "${OUT}"
BrandingText "${NAME} ${VERSION}"
InstallDir ""
VIProductVersion ${NUMBERS}.0
VIAddVersionKey ProductName "${NAME}"
VIAddVersionKey ProductVersion "${VERSION}"
VIAddVersionKey FileVersion "${VERSION}"
VIAddVersionKey FileDescription "${NAME} Setup"
VIAddVersionKey CompanyName "The Tandem authors"
VIAddVersionKey LegalCopyright "The Tandem authors, MIT or Apache-2.0"

!ifdef SIGN
  !finalize '${SIGN} "%1"'
  !uninstfinalize '${SIGN} "%1"'
!endif

!define MUI_ICON "${ICON}"
!define MUI_UNICON "${ICON}"
!define MUI_ABORTWARNING
!define MUI_FINISHPAGE_RUN "$INSTDIR\tandem.exe"
!define MUI_FINISHPAGE_RUN_TEXT "Start ${NAME}"
!insertmacro MUI_PAGE_DIRECTORY
!insertmacro MUI_PAGE_INSTFILES
!insertmacro MUI_PAGE_FINISH
UninstPage custom un.AskAboutData un.ReadAnswer
!insertmacro MUI_UNPAGE_INSTFILES
!insertmacro MUI_LANGUAGE English

Var Staging
Var DeleteData
Var DeleteDataBox
Var OldFolder

; What setup and uninstaller share.
!macro SHARED UN
  ; Ends when another setup or uninstaller is open.
  Function ${UN}RefuseSecondSetup
    System::Call 'kernel32::CreateMutex(p 0, i 0, t "Local\${IDENTIFIER}.setup") p .r0 ?e'
    Pop $1
    ${If} $1 = 183 ; ERROR_ALREADY_EXISTS
      MessageBox MB_OK|MB_ICONEXCLAMATION "Another setup of ${NAME} is open. Finish it first." /SD IDOK
      SetErrorLevel ${SECOND_SETUP}
      Quit
    ${EndIf}
  FunctionEnd

  ; Ends when the installed program runs and the user does not close it. A running program cannot be opened for writing.
  Function ${UN}RequireClosed
    ask:
    System::Call 'kernel32::CreateFile(t "$INSTDIR\tandem.exe", i 0x40000000, i 7, p 0, i 3, i 0, p 0) p .r0 ?e'
    Pop $1
    ${If} $0 P<> -1
      System::Call 'kernel32::CloseHandle(p r0)'
    ${ElseIf} $1 = 32 ; ERROR_SHARING_VIOLATION
      MessageBox MB_RETRYCANCEL|MB_ICONEXCLAMATION "${NAME} is running. Close it, then try again." \
        /SD IDCANCEL IDRETRY ask
      SetErrorLevel ${IS_RUNNING}
      Quit
    ${EndIf}
  FunctionEnd
!macroend

!insertmacro SHARED ""
!insertmacro SHARED un.

Function .onInit
  ${IfNot} ${RunningX64}
    MessageBox MB_OK|MB_ICONSTOP "${NAME} needs a 64-bit Windows." /SD IDOK
    SetErrorLevel ${FAILED}
    Quit
  ${EndIf}

  Call RefuseSecondSetup

  ; Where it is installed now. Setups of other tools write the path in quotes.
  ReadRegStr $OldFolder HKCU "${UNINSTALL_KEY}" InstallLocation
  StrCpy $0 $OldFolder 1
  ${If} $0 == '"'
    StrCpy $OldFolder $OldFolder -1 1
  ${EndIf}

  ; /D= is in $INSTDIR already.
  ${If} $INSTDIR == ""
    StrCpy $INSTDIR $OldFolder
  ${EndIf}

  ${If} $INSTDIR == ""
    StrCpy $INSTDIR "$LOCALAPPDATA\Programs\${NAME}"
  ${EndIf}
FunctionEnd

; Ends in failure, with nothing changed. The text is on the stack.
Function GiveUp
  SetOutPath $TEMP
  RMDir /r $Staging
  RMDir $INSTDIR
  Pop $0
  MessageBox MB_OK|MB_ICONSTOP "$0" /SD IDOK
  SetErrorLevel ${FAILED}
  Quit
FunctionEnd

; NSIS itself ends the section when the disk is full.
Function .onInstFailed
  SetOutPath $TEMP
  ${If} $Staging != ""
    RMDir /r $Staging
    RMDir $INSTDIR
  ${EndIf}
  SetErrorLevel ${FAILED}
FunctionEnd

!macro REQUIRE_WRITTEN
  ${If} ${Errors}
    Push "${NAME} was not installed, because $INSTDIR cannot be written. Choose another folder, or free some space."
    Call GiveUp
  ${EndIf}
!macroend

; Puts a new file in place of an old one, which it keeps under another name.
!macro REPLACE FILE
  Delete "$INSTDIR\${FILE}.old"
  ClearErrors
  ${If} ${FileExists} "$INSTDIR\${FILE}"
    Rename "$INSTDIR\${FILE}" "$INSTDIR\${FILE}.old"
  ${EndIf}
  ${IfNot} ${Errors}
    Rename "$Staging\${FILE}" "$INSTDIR\${FILE}"
  ${EndIf}
  ${If} ${Errors}
    Goto restore
  ${EndIf}
!macroend

; Puts the old file back where REPLACE has moved it away.
!macro RESTORE FILE
  ${If} ${FileExists} "$INSTDIR\${FILE}.old"
    Delete "$INSTDIR\${FILE}"
    Rename "$INSTDIR\${FILE}.old" "$INSTDIR\${FILE}"
  ${EndIf}
!macroend

!macro DELETE_OLD FILE
  Delete "$INSTDIR\${FILE}.old"
!macroend

!macro REMOVE FILE
  Delete "$INSTDIR\${FILE}"
  Delete "$INSTDIR\${FILE}.old"
!macroend

; tandem.exe comes last: until then the old program runs with what it finds.
!macro FOR_EACH_FILE DO
  !if /FileExists "${FILES}/WebView2Loader.dll"
    !insertmacro ${DO} WebView2Loader.dll
  !endif
  !insertmacro ${DO} licenses.txt
  !insertmacro ${DO} uninstall.exe
  !insertmacro ${DO} tandem.exe
!macroend

Section Install
  SetShellVarContext current
  SetRegView 64
  Call RequireClosed

  ; 1. Everything onto the disk, beside what is there.
  StrCpy $Staging "$INSTDIR\setup-new"
  RMDir /r $Staging
  ClearErrors
  CreateDirectory $Staging
  !insertmacro REQUIRE_WRITTEN
  SetOutPath $Staging
  !insertmacro REQUIRE_WRITTEN
  SetOverwrite try
  !if /FileExists "${FILES}/WebView2Loader.dll"
    File /oname=WebView2Loader.dll "${FILES}/WebView2Loader.dll"
  !endif
  File /oname=licenses.txt "${FILES}/licenses.txt"
  File /oname=tandem.exe "${FILES}/tandem.exe"
  !insertmacro REQUIRE_WRITTEN
  WriteUninstaller "$Staging\uninstall.exe"
  !insertmacro REQUIRE_WRITTEN

  ; 2. Into place. The user may have started the program meanwhile.
  SetOutPath $INSTDIR
  Call RequireClosed
  !insertmacro FOR_EACH_FILE REPLACE
  Goto replaced

  restore:
  !insertmacro FOR_EACH_FILE RESTORE
  Push "${NAME} was not installed, because a file in $INSTDIR cannot be replaced. Close the programs that use it, then try again."
  Call GiveUp

  replaced:
  !insertmacro FOR_EACH_FILE DELETE_OLD
  RMDir /r $Staging

  ; 3. The shortcut and the registry, without what an older version left there.
  Delete "$SMPROGRAMS\${NAME}.lnk"
  CreateShortcut "$SMPROGRAMS\${NAME}.lnk" "$INSTDIR\tandem.exe"
  Call NameShortcut

  DeleteRegKey HKCU "${LINK_KEY}"
  WriteRegStr HKCU "${LINK_KEY}" "" "URL:${NAME}"
  WriteRegStr HKCU "${LINK_KEY}" "URL Protocol" ""
  WriteRegStr HKCU "${LINK_KEY}\DefaultIcon" "" '"$INSTDIR\tandem.exe",0'
  WriteRegStr HKCU "${LINK_KEY}\shell\open\command" "" '"$INSTDIR\tandem.exe" "%1"'

  DeleteRegKey HKCU "${UNINSTALL_KEY}"
  WriteRegStr HKCU "${UNINSTALL_KEY}" DisplayName "${NAME}"
  WriteRegStr HKCU "${UNINSTALL_KEY}" DisplayVersion "${VERSION}"
  WriteRegStr HKCU "${UNINSTALL_KEY}" DisplayIcon '"$INSTDIR\tandem.exe",0'
  WriteRegStr HKCU "${UNINSTALL_KEY}" Publisher "The Tandem authors"
  WriteRegStr HKCU "${UNINSTALL_KEY}" InstallLocation "$INSTDIR"
  WriteRegStr HKCU "${UNINSTALL_KEY}" UninstallString '"$INSTDIR\uninstall.exe"'
  WriteRegStr HKCU "${UNINSTALL_KEY}" QuietUninstallString '"$INSTDIR\uninstall.exe" /S'
  WriteRegDWORD HKCU "${UNINSTALL_KEY}" NoModify 1
  WriteRegDWORD HKCU "${UNINSTALL_KEY}" NoRepair 1
  ${GetSize} $INSTDIR "/S=0K" $0 $1 $2
  WriteRegDWORD HKCU "${UNINSTALL_KEY}" EstimatedSize $0

  ; 4. A version in another folder would be a second Tandem that nobody can remove.
  ${If} $OldFolder != ""
  ${AndIf} $OldFolder != $INSTDIR
    Delete "$OldFolder\tandem.exe"
    Delete "$OldFolder\licenses.txt"
    Delete "$OldFolder\WebView2Loader.dll"
    Delete "$OldFolder\uninstall.exe"
    RMDir $OldFolder
  ${EndIf}

  Call OfferWebView2
SectionEnd

; Gives the shortcut the identifier under which the program shows notifications.
Function NameShortcut
  !insertmacro ComHlpr_CreateInProcInstance ${CLSID_ShellLink} ${IID_IShellLink} r0 ""
  ${If} $0 P<> 0
    ${IUnknown::QueryInterface} $0 '("${IID_IPersistFile}", .r1)'
    ${If} $1 P<> 0
      ${IPersistFile::Load} $1 '("$SMPROGRAMS\${NAME}.lnk", ${STGM_READWRITE})'
      ${IUnknown::QueryInterface} $0 '("${IID_IPropertyStore}", .r2)'
      ${If} $2 P<> 0
        System::Call 'Oleaut32::SysAllocString(w "${IDENTIFIER}") p .r3'
        System::Call '*${SYSSTRUCT_PROPERTYKEY}(${PKEY_AppUserModel_ID})p.r4'
        System::Call '*(&i2 ${VT_BSTR}, &i2 0, &i4 0, p r3, p 0)p.r5'
        ${IPropertyStore::SetValue} $2 '($4, $5)'
        System::Call 'Oleaut32::SysFreeString(p r3)'
        System::Free $4
        System::Free $5
        ${IPropertyStore::Commit} $2 ""
        ${IUnknown::Release} $2 ""
        ${IPersistFile::Save} $1 '("$SMPROGRAMS\${NAME}.lnk", 1)'
      ${EndIf}
      ${IUnknown::Release} $1 ""
    ${EndIf}
    ${IUnknown::Release} $0 ""
  ${EndIf}
FunctionEnd

; Looks for WebView2, which draws the window, and offers Microsoft's page where it is missing. Windows 11 has it.
Function OfferWebView2
  SetRegView 32 ; where its own installer for all users registers it
  ReadRegStr $0 HKLM "Software\${WEBVIEW2_KEY}" pv
  SetRegView 64
  ${If} $0 == ""
  ${OrIf} $0 == "0.0.0.0"
    ReadRegStr $0 HKCU "Software\${WEBVIEW2_KEY}" pv
  ${EndIf}

  ${If} $0 == ""
  ${OrIf} $0 == "0.0.0.0"
    MessageBox MB_YESNO|MB_ICONINFORMATION "${NAME} is installed, but its window needs Microsoft's WebView2, which \
      this computer doesn't have. Open Microsoft's download page?" /SD IDNO IDNO done
    ExecShell open "${WEBVIEW2_PAGE}"
    done:
  ${EndIf}
FunctionEnd

Function un.onInit
  Call un.RefuseSecondSetup
  StrCpy $DeleteData 0
  ${GetParameters} $0
  ClearErrors
  ${GetOptions} $0 "/DELETEDATA" $1
  ${IfNot} ${Errors}
    StrCpy $DeleteData 1
  ${EndIf}
FunctionEnd

Function un.AskAboutData
  !insertmacro MUI_HEADER_TEXT "Remove ${NAME}" "${NAME} will be removed from this computer."
  nsDialogs::Create 1018
  Pop $0
  ${NSD_CreateLabel} 0 0 100% 24u "Folder: $INSTDIR"
  Pop $0
  ${NSD_CreateCheckbox} 0 30u 100% 12u "Also delete my settings, my profile and the people I have called"
  Pop $DeleteDataBox
  ${If} $DeleteData = 1
    ${NSD_Check} $DeleteDataBox
  ${EndIf}
  GetDlgItem $0 $HWNDPARENT 1
  SendMessage $0 ${WM_SETTEXT} 0 "STR:Remove"
  nsDialogs::Show
FunctionEnd

Function un.ReadAnswer
  ${NSD_GetState} $DeleteDataBox $0
  ${If} $0 = ${BST_CHECKED}
    StrCpy $DeleteData 1
  ${Else}
    StrCpy $DeleteData 0
  ${EndIf}
FunctionEnd

Section Uninstall
  SetShellVarContext current
  SetRegView 64
  Call un.RequireClosed

  ; The error flag says less: Wine sets none when the disk cannot be written.
  Delete "$INSTDIR\tandem.exe"
  ${If} ${FileExists} "$INSTDIR\tandem.exe"
    MessageBox MB_OK|MB_ICONSTOP "${NAME} was not removed, because $INSTDIR cannot be changed." /SD IDOK
    SetErrorLevel ${FAILED}
    Quit
  ${EndIf}

  SetOutPath $TEMP
  !insertmacro FOR_EACH_FILE REMOVE
  RMDir /r "$INSTDIR\setup-new"
  ; Only if nothing else is in it.
  RMDir $INSTDIR

  Delete "$SMPROGRAMS\${NAME}.lnk"

  ; Another program may have taken the links over. (The folder has several names; setup has written this one.)
  ReadRegStr $0 HKCU "${LINK_KEY}\shell\open\command" ""
  ReadRegStr $1 HKCU "${UNINSTALL_KEY}" InstallLocation
  ${If} $0 == '"$1\tandem.exe" "%1"'
    DeleteRegKey HKCU "${LINK_KEY}"
  ${EndIf}
  DeleteRegKey HKCU "${UNINSTALL_KEY}"

  ${If} $DeleteData = 1
    RMDir /r "$APPDATA\tandem"
    RMDir /r "$LOCALAPPDATA\${IDENTIFIER}"
  ${EndIf}
SectionEnd
