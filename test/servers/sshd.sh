#!/bin/bash
# OpenSSH with its internal SFTP server; key authentication only.
. "${0%/*}/common.sh"
need sshd ssh-keygen
[ "$(getent passwd "$(id -u)" | cut -d: -f7)" != /usr/sbin/nologin ] || unavailable "$(id -un) has no shell, and sshd wants one"
p=$(free_port)
mkdir store
for k in host client wrong; do ssh-keygen -q -t ed25519 -N '' -f $k; done
ssh-keygen -q -t ed25519 -N 'pass phrase' -f locked
cat client.pub locked.pub >authorized
cat >sshd.conf <<C
Port $p
ListenAddress 127.0.0.1
ListenAddress ::1
HostKey $dir/host
PidFile $dir/sshd.pid
UsePAM no
StrictModes no
PasswordAuthentication no
AuthorizedKeysFile $dir/authorized
MaxStartups 100:30:200
Subsystem sftp internal-sftp
ForceCommand internal-sftp
C
spawn sshd "$(command -v sshd)" -D -e -f "$dir/sshd.conf"
wait_for 20 bash -c "exec 3<>/dev/tcp/127.0.0.1/$p"
mkdir store/one store/two
print=$(ssh-keygen -l -E sha256 -f host.pub | sed 's/.*SHA256:\([^ ]*\).*/\1/')
echo "[127.0.0.1]:$p $(cut -d' ' -f1-2 host.pub)" >known
credentials sshd "user = $(id -un)"
credentials sshd-locked "user = $(id -un)" "key-passphrase = pass phrase"
cred=sshd
provider sshd "type = sftp" "endpoint = sftp://127.0.0.1:$p$dir/store" "prefix = one" "key-file = $dir/client" "host-key-sha256 = $print"
cred=sshd-locked
provider sshd-known "type = sftp" "endpoint = sftp://127.0.0.1:$p$dir/store/two" "key-file = $dir/locked" "known-hosts = $dir/known"
