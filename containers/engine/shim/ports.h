/* A port reference as ports.c keeps it and syscalls.c uses it. */
#ifndef EVERTURN_PORTS_H
#define EVERTURN_PORTS_H

#include "shim.h"

enum port_kind { IN_HANDS, BOUND, PARENT };
typedef struct Port {
    enum port_kind kind;
    int32_t handle;        /* valid in turn `turn` only */
    uint64_t turn;
    JSValue name;          /* of a bound port, else undefined */
    uint32_t id_bytes;     /* 0: not asked for yet */
    uint8_t id[ID_BYTES_MAX];
} Port;

Port *port_or_null(JSValueConst value);                        /* NULL: no port */
Port *port_of(JSContext *context, JSValueConst value);         /* NULL: thrown */
int32_t port_handle(JSContext *context, JSValueConst value);   /* in this turn; -1: thrown */
bool port_keeps_id(Port *port);                                /* notes the id when it is first asked */
JSValue port_prototype(JSContext *context);
bool port_name_of(JSContext *context, JSValueConst value, Text *name);
JSValue port_new(JSContext *context, enum port_kind kind, int32_t handle, uint64_t turn, JSValue name);
JSValue port_in_hands(JSContext *context, int32_t handle);     /* throws a refusal for a negative handle */
JSValue throw_refusal(JSContext *context, int32_t code);

#endif
