#!/bin/sh
# A deploy hook of certbot: copies certificate and key to a folder of plain files that nginx may read. The folder
# /etc/letsencrypt/live has links to outside of it, which only root may follow.
#   certbot certonly ... --deploy-hook '/srv/streamxr/deploy/nginx/renewed.sh /srv/streamxr/tls'
#   renewed.sh FOLDER [USER]      USER: 101, that of nginx in its container
set -eu
folder=$1
user=${2:-101}
install -d -m 0750 -o "$user" "$folder"
for name in privkey fullchain; do
    install -m 0400 -o "$user" "$RENEWED_LINEAGE/$name.pem" "$folder/.$name.new"
done
for name in privkey fullchain; do
    mv "$folder/.$name.new" "$folder/$name.pem"
done
