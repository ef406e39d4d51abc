#!/bin/sh
# Writes inferq.toml(5): the packaged configuration file is its reference, so that both cannot differ.
#
#     packaging/man/settings-page.sh packaging/inferq.toml
set -eu
cat <<'PAGE'
.TH INFERQ.TOML 5 "" "inferq" "File Formats"
.SH NAME
inferq.toml \- configuration of the inferq gateway
.SH SYNOPSIS
.I /etc/inferq/inferq.toml
.br
.I /etc/inferq/conf.d/*.toml
.SH DESCRIPTION
TOML files that
.BR inferq (8)
reads at its start and again at
.BR "systemctl reload inferq" .
The files in
.I conf.d
come after the main file, in the order of their names; a later key wins.
With
.BI "\-\-config " FILE
that one file is read in place of all others.
.PP
Every key has a default but a model's
.BR url .
Unknown keys, wrong types and values out of range are errors;
.B inferq check
prints all of them.
A reload with an error is refused, and the settings in force stay.
At the start an error leaves the packaged service degraded: it answers 503 with the reason, and reads the files again
every 10 seconds.
.SH SECRETS
A value
.B \(dq$CREDENTIAL:NAME\(dq
is read from systemd's credentials; a drop-in of the service hands them over:
.PP
.RS
.nf
[Service]
LoadCredential=NAME:/etc/credstore/ocr-key
.fi
.RE
.SH SETTINGS
The packaged file, with every key and its default:
.PP
.nf
PAGE
# Backslashes, hyphens and leading dots or quotes mean something to troff.
sed -e 's/\\/\\e/g' -e 's/-/\\-/g' -e "s/'/\\\\(aq/g" -e 's/^\./\\\&./' -e 's/~/\\(ti/g' -e 's/\^/\\(ha/g' \
    -e 's/`/\\(ga/g' "$1"
cat <<'PAGE'
.fi
.SH ENVIRONMENT
.BR INFERQ_CONFIG ,
.BR INFERQ_LISTEN ,
.B INFERQ_LOG_LEVEL
and
.B INFERQ_REDIS
win over the files; flags win over them.
.SH SEE ALSO
.BR inferq (1),
.BR inferq (8)
PAGE
