/*
 * kmip.h - requests to a KMIP server and their answers: KMIP 1.4, TTLV, over TLS with
 * a certificate on both sides.  One request, one operation.
 *
 * A connection is made by the first request and ended by sov_kmip_disconnect; between
 * them everything together has KMIP_TOTAL_MS.
 */
#ifndef KMIP_H
#define KMIP_H

#include "custodian_int.h"
#include "ttlv.h"

enum sov_kmip_operation
{
	KMIP_CREATE = 0x01,
	KMIP_LOCATE = 0x08,
	KMIP_GET_ATTRIBUTES = 0x0b,
	KMIP_ACTIVATE = 0x12,
	KMIP_REVOKE = 0x13,
	KMIP_DESTROY = 0x14,
	KMIP_ENCRYPT = 0x1f,
	KMIP_DECRYPT = 0x20
};

/* Tags, with 0x42 before them */
#define KMIP_ATTRIBUTE 0x420008
#define KMIP_ATTRIBUTE_NAME 0x42000a
#define KMIP_ATTRIBUTE_VALUE 0x42000b
#define KMIP_BATCH_COUNT 0x42000d
#define KMIP_BATCH_ITEM 0x42000f
#define KMIP_BLOCK_CIPHER_MODE 0x420011
#define KMIP_ALGORITHM 0x420028
#define KMIP_PARAMETERS 0x42002b
#define KMIP_NONCE 0x42003d
#define KMIP_MAX_RESPONSE 0x420050
#define KMIP_NAME_TYPE 0x420054
#define KMIP_NAME_VALUE 0x420055
#define KMIP_OBJECT_TYPE 0x420057
#define KMIP_OPERATION 0x42005c
#define KMIP_VERSION 0x420069
#define KMIP_VERSION_MAJOR 0x42006a
#define KMIP_VERSION_MINOR 0x42006b
#define KMIP_REQUEST_HEADER 0x420077
#define KMIP_REQUEST 0x420078
#define KMIP_REQUEST_PAYLOAD 0x420079
#define KMIP_RESPONSE 0x42007b
#define KMIP_RESPONSE_PAYLOAD 0x42007c
#define KMIP_RESULT_REASON 0x42007e
#define KMIP_RESULT_STATUS 0x42007f
#define KMIP_REVOCATION_REASON 0x420081
#define KMIP_REVOCATION_CODE 0x420082
#define KMIP_TEMPLATE 0x420091
#define KMIP_UNIQUE_ID 0x420094
#define KMIP_DATA 0x4200c2
#define KMIP_TAG_LENGTH 0x4200ce
#define KMIP_AUTH_TAG 0x4200ff

/* Reasons of a refusal that are told apart */
#define KMIP_R_NOT_FOUND 0x01
#define KMIP_R_AUTHENTICATION 0x03
#define KMIP_R_MESSAGE 0x04
#define KMIP_R_OPERATION 0x05
#define KMIP_R_FIELD 0x07
#define KMIP_R_FEATURE 0x08
#define KMIP_R_DENIED 0x0c
#define KMIP_R_ATTRIBUTE 0x1f	/* KMIP 2.0 */
#define KMIP_R_GENERAL 0x100

#define KMIP_BODY_CAP 2048
#define KMIP_ANSWER_CAP 16384
#define KMIP_TOTAL_MS 4000

struct sov_kmip_answer
{
	uint32_t	status;			/* 0: success */
	uint32_t	reason;			/* of a refusal; 0: not given */
	struct sov_ttlv payload;	/* in place; type 0: there is none */
};

/* What a server sent as the answer to an operation.  False: it is none. */
extern bool sov_kmip_parse(const uint8_t *buf, size_t len, enum sov_kmip_operation op, struct sov_kmip_answer *a);

struct sov_kmip;
extern enum sov_code sov_kmip_new(const struct sov_custodian_service *at, struct sov_kmip **out, struct sov_error *err);
extern void sov_kmip_free(struct sov_kmip *k);
/* A new request: its payload is written to what is returned. */
extern struct sov_ttlv_out *sov_kmip_begin(struct sov_kmip *k, enum sov_kmip_operation op);
/* Send it.  SOV_OK when there is an answer, also a refusal; it is valid until the next call. */
extern enum sov_code sov_kmip_call(struct sov_kmip *k, struct sov_kmip_answer *a, struct sov_error *err);
/* End the connection and wipe what was said. */
extern void sov_kmip_disconnect(struct sov_kmip *k);

#endif
