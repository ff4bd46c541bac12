/*
 * adapters.h - the adapters of this build, and what the parts of providers/
 * know of each other.
 */
#ifndef ADAPTERS_H
#define ADAPTERS_H

#include "sov_provider.h"

#define SOV_FAULTS_VARIABLE "PG_SOVEREIGN_FAULTS"

extern const struct sov_provider_ops sov_folder_ops;
extern const struct sov_provider_ops sov_s3_ops;
extern const struct sov_provider_ops sov_swift_ops;
extern const struct sov_provider_ops sov_azure_ops;
extern const struct sov_provider_ops sov_webdav_ops;
extern const struct sov_provider_ops sov_sftp_ops;

#endif
