#!/bin/bash
# The packages as an administrator meets them: pages, completion, units, and that
# removing them leaves nothing.  Without "installed" they are not, and it is skipped.
set -u
cd "${0%/*}/.."
if [ "${1:-}" != installed ]; then
	echo "1..0 # SKIP the server of PG_CONFIG is not one of Debian's packages"
	exit 0
fi
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
n=0 work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
ok() {
	local status=$?
	n=$((n + 1))
	[ "$status" = 0 ] && echo "ok $n - $1" || echo "not ok $n - $1"
	return 0
}
pg=$("${PG_CONFIG:-pg_config}" --version | sed 's/^PostgreSQL \([0-9]*\).*/\1/')
packages="postgresql-$pg-sovereign pg-sovereign"

[ "$(/usr/bin/pg_sovereign --version)" = "$("$("${PG_CONFIG:-pg_config}" --bindir)/pg_sovereign" --version)" ]
ok "/usr/bin/pg_sovereign is the command"
/usr/bin/pg_sovereign --version | grep -qxF "pg_sovereign $(sed -n "s/^default_version = '\(.*\)'/\1/p" extension/pg_sovereign.control)"
ok "its version is the extension's"
! dpkg -V $packages | grep -vE '^missing .*/usr/share/(man|doc)/'	# images for containers leave those out
ok "what the packages installed is unchanged after the tests"

# --- pages say what the help says ---
dpkg-deb -x build/deb/pg-sovereign_*_all.deb "$work/shared"
for command in "" $(pg_sovereign --help | sed -n '/^Commands:/,/^$/s/^  \([a-z][a-z-]*\) .*/\1/p'); do
	page=pg_sovereign${command:+-$command}
	MANWIDTH=100 man --warnings -l "$work/shared/usr/share/man/man1/$page.1.gz" >"$work/page" 2>"$work/warnings"
	[ ! -s "$work/warnings" ] && [ -s "$work/page" ]
	ok "man $page"
	missing=
	for option in $(pg_sovereign $command --help | grep -oE -- '--[a-z][a-z-]*' | sort -u); do
		grep -qF -- "$option" "$work/page" || missing="$missing $option"
	done
	[ -z "$missing" ]
	ok "man $page has every option of --help$missing"
done

# --- completion ---
complete_it() {
	bash -c '. /usr/share/bash-completion/completions/pg_sovereign
		COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
		_pg_sovereign; printf "%s\n" "${COMPREPLY[@]}"' complete "$@" 2>/dev/null
}
printf '[provider.north]\n[provider.south]\n' >"$work/conf"
[ "$(complete_it pg_sovereign back)" = backup ]
ok "completes a command"
[ "$(complete_it pg_sovereign restore --target-t | sort | tr '\n' ' ')" = "--target-time --target-timeline " ]
ok "completes options of a command"
[ "$(complete_it pg_sovereign -c "$work/conf" restore --without n)" = north ]
ok "completes providers of the configuration"
[ "$(complete_it pg_sovereign -c "$work/conf" provider probe so)" = south ] && [ "$(complete_it pg_sovereign provider pro)" = probe ]
ok "completes the names of \"provider probe\", and the word before them"
[ "$(complete_it pg_sovereign key cre)" = create-root ]
ok "completes what stands after \"key\""

# --- units ---
for unit in $(dpkg -L pg-sovereign | grep -E '\.timer$'); do
	instance=pg_sovereign@$(basename "$unit" .timer | sed 's/.*-//').service
	systemd-analyze verify "$unit" "$instance" >"$work/unit" 2>&1 && ! grep -F pg_sovereign "$work/unit"
	ok "$(basename "$unit") and $instance"
	pg_sovereign "$(basename "$unit" .timer | sed 's/.*-//')" --help >/dev/null
	ok "$(basename "$unit") starts a command that there is"
done
systemd-analyze verify "$(dpkg -L pg-sovereign | grep -E 'pg_sovereign-audit\.service$')" >"$work/unit" 2>&1 && ! grep -F pg_sovereign "$work/unit"
ok "pg_sovereign-audit.service"
mkdir "$work/units"
for unit in $(dpkg -L pg-sovereign | grep -E '/pg_sovereign(-audit|@)\.service$'); do
	sed 's/^#Load/Load/' "$unit" >"$work/units/$(basename "$unit")"
done
grep -c '^LoadCredential' "$work"/units/* >/dev/null && systemd-analyze verify "$work/units/pg_sovereign-audit.service" "$work/units/pg_sovereign@verify.service" >"$work/unit" 2>&1 && ! grep -F pg_sovereign "$work/unit"
ok "units with credentials"

# --- the archive for PGXN ---
perl -MJSON::PP -e 'local $/; my $m = decode_json(<STDIN>); exit !($m->{name} eq "pg_sovereign" && $m->{provides}{pg_sovereign}{version} eq $m->{version})' <extension/packaging/META.json.in
ok "META.json"

# --- removed ---
files=$(dpkg -L $packages | sort -u)
had_conf=; [ -n "$(ls -A /etc/pg_sovereign 2>/dev/null)" ] && had_conf=1
[ -n "$had_conf" ] || $sudo touch /etc/pg_sovereign/root.key
$sudo dpkg -r $packages >"$work/removed" 2>&1
ok "remove"
left=
for file in $files; do
	[ -d "$file" ] || [ ! -e "$file" ] || left="$left $file"
done
[ -z "$left" ]
ok "nothing is left$left"
$sudo dpkg -P $packages >"$work/purged" 2>&1
ok "purge"
[ -n "$had_conf" ] || { [ -e /etc/pg_sovereign/root.key ] && grep -q 'is kept' "$work/purged"; }
ok "a key in /etc/pg_sovereign outlives the purge, and it is said"
[ -n "$had_conf" ] || { $sudo rm /etc/pg_sovereign/root.key; $sudo rmdir /etc/pg_sovereign; }
[ ! -d /usr/share/doc/pg-sovereign ] && [ ! -d "/usr/share/doc/postgresql-$pg-sovereign" ]
ok "nor are directories"
echo "1..$n"
