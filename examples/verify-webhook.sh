#!/bin/sh
# Verifies a webhook of Callhalf with a POSIX shell and openssl. The raw body comes on standard input, the
# rest from the environment:
#
#   WEBHOOK_ID, WEBHOOK_TIMESTAMP, WEBHOOK_SIGNATURE   the three headers
#   WEBHOOK_SECRETS                                    whsec_…, several separated by spaces
#   WEBHOOK_PUBLIC_KEYS                                whpk_…, likewise, for v1a (needs openssl 3)
#   WEBHOOK_TOLERANCE_SECONDS                          300 unless set
#   WEBHOOK_NOW                                        seconds since 1970, in place of the clock
#
#   WEBHOOK_ID=msg_… WEBHOOK_TIMESTAMP=… WEBHOOK_SIGNATURE=v1,… WEBHOOK_SECRETS=whsec_… \
#     sh examples/verify-webhook.sh < body.json
#
# Exits 0 when the request is authentic, 1 when it is not, 2 when it was called wrongly; except for 0 it
# says why on standard error. openssl gets the secret as an argument, which other users of the same machine
# may see in the list of processes: for scripts and for looking into a problem, not for a shared host.
set -u
LC_ALL=C
export LC_ALL

refuse() {
  printf 'refused: %s\n' "$1" >&2
  exit 1
}

misuse() {
  printf 'cannot verify: %s\n' "$1" >&2
  exit 2
}

is_number() {
  case $1 in
    '' | *[!0-9]* | 0?* | ?????????????*) return 1 ;;
  esac
}

secrets=${WEBHOOK_SECRETS:-}
public_keys=${WEBHOOK_PUBLIC_KEYS:-}
id=${WEBHOOK_ID:-}
timestamp=${WEBHOOK_TIMESTAMP:-}
signatures=${WEBHOOK_SIGNATURE:-}
tolerance=${WEBHOOK_TOLERANCE_SECONDS:-300}
now=${WEBHOOK_NOW:-$(date +%s)}

command -v openssl >/dev/null || misuse 'openssl is not installed'
[ -n "$secrets$public_keys" ] || misuse 'WEBHOOK_SECRETS and WEBHOOK_PUBLIC_KEYS are both empty'
is_number "$tolerance" || misuse 'WEBHOOK_TOLERANCE_SECONDS is no number'
is_number "$now" || misuse 'WEBHOOK_NOW is no number'

[ -n "$id" ] && [ -n "$timestamp" ] && [ -n "$signatures" ] ||
  refuse 'webhook-id, webhook-timestamp or webhook-signature is missing'
is_number "$timestamp" || refuse 'webhook-timestamp is no number'
age=$((now - timestamp))
[ "$age" -le "$tolerance" ] || refuse 'webhook-timestamp is too old'
[ "$age" -ge "-$tolerance" ] || refuse 'webhook-timestamp is in the future'

folder=$(mktemp -d) || misuse 'mktemp failed'
trap 'rm -rf "$folder"' EXIT
trap 'exit 2' HUP INT TERM
# What was signed: id, timestamp and body, byte for byte. A shell variable would lose bytes of the body.
{ printf '%s.%s.' "$id" "$timestamp" && cat; } >"$folder/content" || misuse 'the body could not be read'

# A base64 text to the file $2; fails for anything else.
decode() {
  case $1 in
    '' | *[!A-Za-z0-9+/=]*) return 1 ;;
  esac
  printf '%s' "$1" | openssl base64 -d -A >"$2" 2>/dev/null && [ -s "$2" ]
}

hex() {
  od -An -v -tx1 "$1" | tr -d ' \n'
}

# Compares digests, so that the time it takes says nothing about where the two differ.
is_equal() {
  [ "$(openssl dgst -sha256 -r <"$1")" = "$(openssl dgst -sha256 -r <"$2")" ]
}

# The key is what the base64 behind whsec_ stands for: 24 to 64 bytes. Their HMACs go to expected-1, -2, …
count=0
set -f
for secret in $secrets; do
  decode "${secret#whsec_}" "$folder/key" || misuse 'a secret is whsec_ and 24 to 64 bytes in base64'
  key=$(hex "$folder/key")
  [ ${#key} -ge 48 ] && [ ${#key} -le 128 ] || misuse 'a secret is whsec_ and 24 to 64 bytes in base64'
  count=$((count + 1))
  openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary "$folder/content" >"$folder/expected-$count" ||
    misuse 'openssl could not compute the HMAC'
done

matches_secret() {
  number=0
  while [ "$number" -lt "$count" ]; do
    number=$((number + 1))
    is_equal "$folder/given" "$folder/expected-$number" && return 0
  done
  return 1
}

# An ed25519 key in the form that openssl reads is twelve fixed bytes and the 32 of the key (RFC 8410).
matches_public_key() {
  for public_key in $public_keys; do
    decode "${public_key#whpk_}" "$folder/raw" && [ "$(wc -c <"$folder/raw")" -eq 32 ] ||
      misuse 'a public key is whpk_ and 32 bytes in base64'
    { printf '\060\052\060\005\006\003\053\145\160\003\041\000' && cat "$folder/raw"; } >"$folder/key.der"
    openssl pkeyutl -verify -rawin -pubin -keyform DER -inkey "$folder/key.der" \
      -in "$folder/content" -sigfile "$folder/given" >/dev/null 2>&1 && return 0
  done
  return 1
}

# One match is enough: the list has a signature of every key that the sender holds, and of versions to come.
# A comma that a proxy put between two folded headers does not hurt.
for entry in $signatures; do
  entry=${entry%,}
  case $entry in
    v1,*) decode "${entry#v1,}" "$folder/given" && matches_secret && exit 0 ;;
    v1a,*) decode "${entry#v1a,}" "$folder/given" && matches_public_key && exit 0 ;;
  esac
done
if [ -n "$public_keys" ] && ! openssl pkeyutl -help 2>&1 | grep -q rawin; then
  misuse 'this openssl cannot verify v1a signatures (openssl 3 can)'
fi
refuse 'no signature matches'
