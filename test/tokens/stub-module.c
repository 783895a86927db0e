/*
 * A PKCS#11 2.40 module for tests: tokens whose every call can be made to fail, wait, hang, crash or lose the card.
 * It is told what to be by a file beside it, `<module>.conf`, which it reads again at every call, so that a test can
 * change the world while a call runs. `<module>.log` gets two lines a call, `<module>.tries` keeps the PIN tries that
 * are left. stub-module.ts writes the first, and says what the words mean.
 *
 * No cryptography: an agreement answers the Z of its file, RSA the message of its file, and AES adds a tag.
 * The declarations are those of the specification that are needed, for systems whose pointers and longs are alike.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef unsigned long rv_t;
typedef unsigned long ulong_t;
typedef unsigned char byte_t;

typedef struct {
  byte_t major, minor;
} version_t;

typedef struct {
  byte_t description[64], manufacturer[32];
  ulong_t flags;
  version_t hardware, firmware;
} slot_info_t;

typedef struct {
  byte_t label[32], manufacturer[32], model[16], serial[16];
  ulong_t flags, max_sessions, sessions, max_rw_sessions, rw_sessions, max_pin, min_pin;
  ulong_t total_public, free_public, total_private, free_private;
  version_t hardware, firmware;
  byte_t utc[16];
} token_info_t;

typedef struct {
  version_t cryptoki;
  byte_t manufacturer[32];
  ulong_t flags;
  byte_t description[32];
  version_t library;
} info_t;

typedef struct {
  ulong_t type;
  void *value;
  ulong_t length;
} attribute_t;

typedef struct {
  ulong_t type;
  void *parameter;
  ulong_t length;
} mechanism_t;

typedef struct {
  ulong_t kdf, shared_length;
  byte_t *shared;
  ulong_t public_length;
  byte_t *public_data;
} ecdh_t;

/* In the order of the specification. */
typedef struct {
  version_t version;
  void *initialize, *finalize, *get_info, *get_function_list, *get_slot_list, *get_slot_info, *get_token_info;
  void *get_mechanism_list, *get_mechanism_info, *init_token, *init_pin, *set_pin, *open_session, *close_session;
  void *close_all_sessions, *get_session_info, *get_operation_state, *set_operation_state, *login, *logout;
  void *create_object, *copy_object, *destroy_object, *get_object_size, *get_attribute_value, *set_attribute_value;
  void *find_objects_init, *find_objects, *find_objects_final, *encrypt_init, *encrypt, *encrypt_update;
  void *encrypt_final, *decrypt_init, *decrypt, *decrypt_update, *decrypt_final, *digest_init, *digest;
  void *digest_update, *digest_key, *digest_final, *sign_init, *sign, *sign_update, *sign_final, *sign_recover_init;
  void *sign_recover, *verify_init, *verify, *verify_update, *verify_final, *verify_recover_init, *verify_recover;
  void *digest_encrypt_update, *decrypt_digest_update, *sign_encrypt_update, *decrypt_verify_update, *generate_key;
  void *generate_key_pair, *wrap_key, *unwrap_key, *derive_key, *seed_random, *generate_random;
  void *get_function_status, *cancel_function, *wait_for_slot_event;
} function_list_t;

enum {
  OK = 0,
  SLOT_ID_INVALID = 0x3,
  GENERAL_ERROR = 0x5,
  ARGUMENTS_BAD = 0x7,
  ATTRIBUTE_TYPE_INVALID = 0x12,
  DEVICE_REMOVED = 0x32,
  ENCRYPTED_DATA_INVALID = 0x40,
  FUNCTION_NOT_SUPPORTED = 0x54,
  KEY_HANDLE_INVALID = 0x60,
  KEY_TYPE_INCONSISTENT = 0x63,
  MECHANISM_INVALID = 0x70,
  MECHANISM_PARAM_INVALID = 0x71,
  OBJECT_HANDLE_INVALID = 0x82,
  OPERATION_ACTIVE = 0x90,
  OPERATION_NOT_INITIALIZED = 0x91,
  PIN_INCORRECT = 0xa0,
  PIN_LEN_RANGE = 0xa2,
  PIN_LOCKED = 0xa4,
  SESSION_HANDLE_INVALID = 0xb3,
  TOKEN_NOT_PRESENT = 0xe0,
  USER_ALREADY_LOGGED_IN = 0x100,
  USER_NOT_LOGGED_IN = 0x101,
  BUFFER_TOO_SMALL = 0x150,
  NOT_INITIALIZED = 0x190,
  ALREADY_INITIALIZED = 0x191
};
enum { CERTIFICATE = 1, PUBLIC_KEY = 2, PRIVATE_KEY = 3, SECRET_KEY = 4 };
enum { RSA = 0, EC = 3, AES = 0x1f };
enum { RSA_X_509 = 0x3, RSA_OAEP = 0x9, ECDH1_DERIVE = 0x1050, AES_GCM = 0x1087 };
enum { LOGIN_REQUIRED = 0x4, PIN_COUNT_LOW = 0x10000, PIN_FINAL_TRY = 0x20000, PIN_IS_LOCKED = 0x40000 };
enum { TAG_BYTES = 16, MAX_SLOTS = 8, MAX_KEYS = 16, MAX_RULES = 64, MAX_SESSIONS = 64, MAX_CALLS = 32 };

typedef struct {
  byte_t bytes[1024];
  ulong_t length;
} blob_t;

typedef struct {
  char label[64], serial[64], maker[64], model[64], reader[128], pin[300];
  ulong_t flags, min, max;
  int present, tries, low, final, padding;
  rv_t locked_ckr, length_ckr;
} slot_t;

typedef struct {
  ulong_t slot, kind;
  int shows_public;
  char label[64];
  blob_t id, point, z, modulus, exponent, oaep, raw, certificate;
} key_t_;

typedef struct {
  char call[40], action[16];
  long nth;
  ulong_t value;
} rule_t;

static slot_t slots[MAX_SLOTS];
static key_t_ keys[MAX_KEYS];
static rule_t rules[MAX_RULES];
static int slot_count, key_count, rule_count;

static int is_initialized, is_logged_in[MAX_SLOTS];
static double gone_at;
static struct {
  int is_open, slot;
  int finds, next, found[3 * MAX_KEYS], found_count;
  int operation, key;
} sessions[MAX_SESSIONS];
static struct {
  const char *name;
  long count;
} calls[MAX_CALLS];

/* --- files --------------------------------------------------------------------------------------------------- */

static const char *beside(const char *ending) {
  static char path[4200];
  Dl_info self;
  dladdr((void *)&beside, &self);
  snprintf(path, sizeof path, "%s.%s", self.dli_fname, ending);
  return path;
}

static void note(const char *format, ...) {
  char line[512];
  va_list list;
  int length = snprintf(line, sizeof line, "%d ", getpid());
  va_start(list, format);
  length += vsnprintf(line + length, sizeof line - length - 1, format, list);
  va_end(list);
  line[length++] = '\n';
  static int file = -1;
  if (file < 0) file = open(beside("log"), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0 || write(file, line, length) != length) abort();
}

static int tries_left(int slot) {
  int left[MAX_SLOTS];
  for (int i = 0; i < MAX_SLOTS; i++) left[i] = slots[i].tries;
  FILE *file = fopen(beside("tries"), "r");
  if (file != NULL) {
    for (int i = 0; i < MAX_SLOTS && fscanf(file, "%d", &left[i]) == 1; i++);
    fclose(file);
  }
  return left[slot];
}

static void set_tries(int slot, int value) {
  int left[MAX_SLOTS];
  for (int i = 0; i < MAX_SLOTS; i++) left[i] = tries_left(i);
  left[slot] = value;
  FILE *file = fopen(beside("tries"), "w");
  if (file == NULL) abort();
  for (int i = 0; i < MAX_SLOTS; i++) fprintf(file, "%d\n", left[i]);
  fclose(file);
}

static int digit(char from) {
  const char *digits = "0123456789abcdef0123456789ABCDEF";
  const char *found = from == '\0' ? NULL : strchr(digits, from);
  return found == NULL ? -1 : (int)(found - digits) % 16;
}

/* Of two hexadecimal digits; -1 where there are none. */
static int byte_of(const char *from) {
  int high = digit(from[0]), low = high < 0 ? -1 : digit(from[1]);
  return low < 0 ? -1 : 16 * high + low;
}

/* With %20 for a blank, and the like. */
static void text_of(const char *from, char *to, ulong_t room) {
  ulong_t length = 0;
  while (*from != '\0' && length + 1 < room) {
    int escaped = *from == '%' ? byte_of(from + 1) : -1;
    to[length++] = escaped < 0 ? *from : (char)escaped;
    from += escaped < 0 ? 1 : 3;
  }
  to[length] = '\0';
}

static void hex_of(const char *from, blob_t *to) {
  for (to->length = 0; to->length < sizeof to->bytes && byte_of(from) >= 0; from += 2)
    to->bytes[to->length++] = (byte_t)byte_of(from);
}

static void set_slot(slot_t *slot, const char *name, const char *value) {
  if (!strcmp(name, "label")) text_of(value, slot->label, sizeof slot->label);
  else if (!strcmp(name, "serial")) text_of(value, slot->serial, sizeof slot->serial);
  else if (!strcmp(name, "maker")) text_of(value, slot->maker, sizeof slot->maker);
  else if (!strcmp(name, "model")) text_of(value, slot->model, sizeof slot->model);
  else if (!strcmp(name, "reader")) text_of(value, slot->reader, sizeof slot->reader);
  else if (!strcmp(name, "pin")) text_of(value, slot->pin, sizeof slot->pin);
  else if (!strcmp(name, "flags")) slot->flags = strtoul(value, NULL, 0);
  else if (!strcmp(name, "min")) slot->min = strtoul(value, NULL, 0);
  else if (!strcmp(name, "max")) slot->max = strtoul(value, NULL, 0);
  else if (!strcmp(name, "present")) slot->present = atoi(value);
  else if (!strcmp(name, "tries")) slot->tries = atoi(value);
  else if (!strcmp(name, "low")) slot->low = atoi(value);
  else if (!strcmp(name, "final")) slot->final = atoi(value);
  else if (!strcmp(name, "padding")) slot->padding = (int)strtoul(value, NULL, 0);
  else if (!strcmp(name, "lockedCkr")) slot->locked_ckr = strtoul(value, NULL, 0);
  else if (!strcmp(name, "lengthCkr")) slot->length_ckr = strtoul(value, NULL, 0);
  else abort();
}

static void set_key(key_t_ *key, const char *name, const char *value) {
  if (!strcmp(name, "slot")) key->slot = strtoul(value, NULL, 0);
  else if (!strcmp(name, "kind")) key->kind = strtoul(value, NULL, 0);
  else if (!strcmp(name, "public")) key->shows_public = atoi(value);
  else if (!strcmp(name, "label")) text_of(value, key->label, sizeof key->label);
  else if (!strcmp(name, "id")) hex_of(value, &key->id);
  else if (!strcmp(name, "point")) hex_of(value, &key->point);
  else if (!strcmp(name, "z")) hex_of(value, &key->z);
  else if (!strcmp(name, "modulus")) hex_of(value, &key->modulus);
  else if (!strcmp(name, "exponent")) hex_of(value, &key->exponent);
  else if (!strcmp(name, "oaep")) hex_of(value, &key->oaep);
  else if (!strcmp(name, "raw")) hex_of(value, &key->raw);
  else if (!strcmp(name, "certificate")) hex_of(value, &key->certificate);
  else abort();
}

static void set_rule(rule_t *rule, const char *name, const char *value) {
  if (!strcmp(name, "call")) text_of(value, rule->call, sizeof rule->call);
  else if (!strcmp(name, "do")) text_of(value, rule->action, sizeof rule->action);
  else if (!strcmp(name, "nth")) rule->nth = atol(value);
  else if (!strcmp(name, "value")) rule->value = strtoul(value, NULL, 0);
  else abort();
}

/* Every line is a kind and `name=value` pairs. A word that is not known is a mistake of the test: abort. */
static void read_configuration(void) {
  static char line[16384];
  FILE *file = fopen(beside("conf"), "r");
  if (file == NULL) abort();
  slot_count = key_count = rule_count = 0;
  while (fgets(line, sizeof line, file) != NULL) {
    char *rest = NULL;
    char *kind = strtok_r(line, " \n", &rest);
    if (kind == NULL) continue;
    void *made;
    if (!strcmp(kind, "slot") && slot_count < MAX_SLOTS) {
      made = memset(&slots[slot_count++], 0, sizeof(slot_t));
    } else if (!strcmp(kind, "key") && key_count < MAX_KEYS) {
      made = memset(&keys[key_count++], 0, sizeof(key_t_));
    } else if (!strcmp(kind, "rule") && rule_count < MAX_RULES) {
      made = memset(&rules[rule_count++], 0, sizeof(rule_t));
    } else {
      abort();
    }
    for (char *pair; (pair = strtok_r(NULL, " \n", &rest)) != NULL;) {
      char *value = strchr(pair, '=');
      if (value == NULL) abort();
      *value++ = '\0';
      if (*kind == 's') set_slot(made, pair, value);
      else if (*kind == 'k') set_key(made, pair, value);
      else set_rule(made, pair, value);
    }
  }
  fclose(file);
}

/* --- what every call begins and ends with --------------------------------------------------------------------- */

static double now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void sleep_ms(ulong_t ms) {
  struct timespec rest = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
  while (nanosleep(&rest, &rest) != 0);
}

static long count_of(const char *name) {
  int at = 0;
  while (calls[at].name != NULL && strcmp(calls[at].name, name) != 0) at++;
  calls[at].name = name;
  return ++calls[at].count;
}

static rv_t leave(const char *name, rv_t rv) {
  note("%s = 0x%lx", name, rv);
  return rv;
}

/* Applies the rules of this call, in their order; returns what the call shall answer, OK where none says so. */
static rv_t enter(const char *name) {
  long count = count_of(name);
  read_configuration();
  for (int i = 0; i < rule_count; i++) {
    rule_t rule = rules[i];
    if (strcmp(rule.call, name) != 0 || (rule.nth != 0 && rule.nth != count)) continue;
    if (!strcmp(rule.action, "delay")) sleep_ms(rule.value);
    else if (!strcmp(rule.action, "hang")) for (;;) pause();
    else if (!strcmp(rule.action, "abort")) abort();
    else if (!strcmp(rule.action, "segv")) raise(SIGSEGV);
    else if (!strcmp(rule.action, "exit")) _exit((int)rule.value);
    else if (!strcmp(rule.action, "vanish")) gone_at = now_ms() + (double)rule.value;
    else if (!strcmp(rule.action, "ckr")) return rule.value;
    else abort();
    read_configuration();
  }
  return OK;
}

#define ENTER(name, ...)                          \
  static const char *const call_name = name;      \
  note(name " " __VA_ARGS__);                     \
  {                                               \
    rv_t ruled = enter(call_name);                \
    if (ruled != OK) return leave(call_name, ruled); \
  }                                               \
  if (!is_initialized) return leave(call_name, NOT_INITIALIZED)
#define LEAVE(rv) return leave(call_name, (rv))
#define EXPECT(condition, rv) \
  if (!(condition)) LEAVE(rv)

static int is_present(ulong_t slot) {
  return slots[slot].present && (gone_at == 0 || now_ms() < gone_at);
}

static rv_t session_state(ulong_t session) {
  if (session == 0 || session >= MAX_SESSIONS || !sessions[session].is_open) return SESSION_HANDLE_INVALID;
  if (sessions[session].slot >= slot_count || !is_present((ulong_t)sessions[session].slot)) return DEVICE_REMOVED;
  return OK;
}

#define EXPECT_SESSION(session)                     \
  {                                                 \
    rv_t state = session_state(session);            \
    EXPECT(state == OK, state);                     \
  }

static int may_use(int slot) { return is_logged_in[slot] || (slots[slot].flags & LOGIN_REQUIRED) == 0; }

static void put_text(byte_t *to, ulong_t room, const char *text, int padding) {
  ulong_t length = strlen(text);
  memset(to, padding, room);
  memcpy(to, text, length < room ? length : room);
}

static rv_t give(const byte_t *bytes, ulong_t length, byte_t *to, ulong_t *room) {
  ulong_t had = *room;
  *room = length;
  if (to == NULL) return OK;
  if (had < length) return BUFFER_TOO_SMALL;
  memcpy(to, bytes, length);
  return OK;
}

/* --- the calls ------------------------------------------------------------------------------------------------ */

static rv_t c_initialize(void *arguments) {
  static const char *const call_name = "C_Initialize";
  note("C_Initialize");
  (void)arguments;
  rv_t ruled = enter(call_name);
  if (ruled != OK) LEAVE(ruled);
  EXPECT(!is_initialized, ALREADY_INITIALIZED);
  is_initialized = 1;
  LEAVE(OK);
}

static rv_t c_finalize(void *reserved) {
  ENTER("C_Finalize", "");
  (void)reserved;
  is_initialized = 0;
  memset(is_logged_in, 0, sizeof is_logged_in);
  memset(sessions, 0, sizeof sessions);
  LEAVE(OK);
}

static rv_t c_get_info(info_t *info) {
  ENTER("C_GetInfo", "");
  memset(info, 0, sizeof *info);
  info->cryptoki.major = 2;
  info->cryptoki.minor = 40;
  put_text(info->manufacturer, 32, "Coffer", ' ');
  put_text(info->description, 32, "Module for tests", ' ');
  LEAVE(OK);
}

static rv_t c_get_slot_list(byte_t with_token, ulong_t *list, ulong_t *count) {
  ENTER("C_GetSlotList", "withToken=%d", with_token);
  ulong_t found[MAX_SLOTS], length = 0;
  for (ulong_t i = 0; i < (ulong_t)slot_count; i++)
    if (!with_token || is_present(i)) found[length++] = i;
  ulong_t room = *count;
  *count = length;
  if (list == NULL) LEAVE(OK);
  EXPECT(room >= length, BUFFER_TOO_SMALL);
  memcpy(list, found, length * sizeof *list);
  LEAVE(OK);
}

static rv_t c_get_slot_info(ulong_t slot, slot_info_t *info) {
  ENTER("C_GetSlotInfo", "slot=%lu", slot);
  EXPECT(slot < (ulong_t)slot_count, SLOT_ID_INVALID);
  memset(info, 0, sizeof *info);
  put_text(info->description, 64, slots[slot].reader, ' ');
  put_text(info->manufacturer, 32, "Coffer", ' ');
  info->flags = (is_present(slot) ? 1 : 0) | 2;
  LEAVE(OK);
}

static rv_t c_get_token_info(ulong_t slot, token_info_t *info) {
  ENTER("C_GetTokenInfo", "slot=%lu", slot);
  EXPECT(slot < (ulong_t)slot_count, SLOT_ID_INVALID);
  EXPECT(is_present(slot), TOKEN_NOT_PRESENT);
  slot_t *token = &slots[slot];
  int left = tries_left((int)slot);
  memset(info, 0, sizeof *info);
  put_text(info->label, 32, token->label, token->padding);
  put_text(info->manufacturer, 32, token->maker, token->padding);
  put_text(info->model, 16, token->model, token->padding);
  put_text(info->serial, 16, token->serial, token->padding);
  info->flags = token->flags;
  if (token->low && left < token->tries) info->flags |= PIN_COUNT_LOW;
  if (token->final && left == 1) info->flags |= PIN_FINAL_TRY;
  if (token->final && left == 0) info->flags |= PIN_IS_LOCKED;
  info->min_pin = token->min;
  info->max_pin = token->max;
  LEAVE(OK);
}

static rv_t c_get_mechanism_list(ulong_t slot, ulong_t *list, ulong_t *count) {
  static const ulong_t known[] = {RSA_X_509, RSA_OAEP, ECDH1_DERIVE, AES_GCM};
  ENTER("C_GetMechanismList", "slot=%lu", slot);
  EXPECT(slot < (ulong_t)slot_count, SLOT_ID_INVALID);
  ulong_t room = *count;
  *count = 4;
  if (list == NULL) LEAVE(OK);
  EXPECT(room >= 4, BUFFER_TOO_SMALL);
  memcpy(list, known, sizeof known);
  LEAVE(OK);
}

static rv_t c_open_session(ulong_t slot, ulong_t flags, void *application, void *notify, ulong_t *session) {
  ENTER("C_OpenSession", "slot=%lu flags=%lu", slot, flags);
  (void)application, (void)notify;
  EXPECT(slot < (ulong_t)slot_count, SLOT_ID_INVALID);
  EXPECT(is_present(slot), TOKEN_NOT_PRESENT);
  for (int i = 1; i < MAX_SESSIONS; i++) {
    if (sessions[i].is_open) continue;
    memset(&sessions[i], 0, sizeof sessions[i]);
    sessions[i].is_open = 1;
    sessions[i].slot = (int)slot;
    *session = (ulong_t)i;
    LEAVE(OK);
  }
  LEAVE(GENERAL_ERROR);
}

static rv_t c_close_session(ulong_t session) {
  ENTER("C_CloseSession", "session=%lu", session);
  EXPECT(session < MAX_SESSIONS && sessions[session].is_open, SESSION_HANDLE_INVALID);
  sessions[session].is_open = 0;
  int is_last = 1;
  for (int i = 1; i < MAX_SESSIONS; i++)
    if (sessions[i].is_open && sessions[i].slot == sessions[session].slot) is_last = 0;
  if (is_last) is_logged_in[sessions[session].slot] = 0;
  LEAVE(OK);
}

static rv_t c_login(ulong_t session, ulong_t user, byte_t *pin, ulong_t length) {
  int slot = session < MAX_SESSIONS ? sessions[session].slot : -1;
  ENTER("C_Login", "slot=%d user=%lu length=%lu", slot, user, pin == NULL ? 0 : length);
  EXPECT_SESSION(session);
  slot_t *token = &slots[slot];
  EXPECT(!is_logged_in[slot], USER_ALREADY_LOGGED_IN);
  int left = tries_left(slot);
  EXPECT(left > 0, PIN_LOCKED);
  EXPECT(pin != NULL && length >= token->min && length <= token->max, token->length_ckr);
  if (length == strlen(token->pin) && memcmp(pin, token->pin, length) == 0) {
    set_tries(slot, token->tries);
    is_logged_in[slot] = 1;
    LEAVE(OK);
  }
  set_tries(slot, left - 1);
  LEAVE(left > 1 ? PIN_INCORRECT : token->locked_ckr);
}

static rv_t c_logout(ulong_t session) {
  ENTER("C_Logout", "session=%lu", session);
  EXPECT_SESSION(session);
  int slot = sessions[session].slot;
  EXPECT(is_logged_in[slot], USER_NOT_LOGGED_IN);
  is_logged_in[slot] = 0;
  LEAVE(OK);
}

/* Objects of key k: 4k+1 its certificate, 4k+2 its public half, 4k+3 its private one or the AES key, 4k+4 a derived Z. */
static int class_of(int object) {
  int part = (object - 1) % 4 + 1;
  return part == PRIVATE_KEY && keys[(object - 1) / 4].kind == AES ? SECRET_KEY : part;
}

static int exists(int object, int slot) {
  int at = (object - 1) / 4;
  if (object < 1 || at >= key_count || keys[at].slot != (ulong_t)slot) return 0;
  switch ((object - 1) % 4 + 1) {
    case CERTIFICATE: return keys[at].certificate.length > 0;
    case PUBLIC_KEY: return keys[at].shows_public;
    default: return may_use(slot);
  }
}

static int is_alike(const attribute_t *wanted, const void *value, ulong_t length) {
  return wanted->length == length && memcmp(wanted->value, value, length) == 0;
}

static rv_t c_find_objects_init(ulong_t session, attribute_t *wanted, ulong_t count) {
  ENTER("C_FindObjectsInit", "session=%lu attributes=%lu", session, count);
  EXPECT_SESSION(session);
  EXPECT(!sessions[session].finds, OPERATION_ACTIVE);
  sessions[session].finds = 1;
  sessions[session].found_count = sessions[session].next = 0;
  for (int object = 1; object <= 4 * key_count; object++) {
    key_t_ *key = &keys[(object - 1) / 4];
    ulong_t class = (ulong_t)class_of(object);
    int fits = object % 4 != 0 && exists(object, sessions[session].slot);
    for (ulong_t i = 0; fits && i < count; i++) {
      if (wanted[i].type == 0x0) fits = is_alike(&wanted[i], &class, sizeof class);
      else if (wanted[i].type == 0x102) fits = is_alike(&wanted[i], key->id.bytes, key->id.length);
      else fits = 0;
    }
    if (fits) sessions[session].found[sessions[session].found_count++] = object;
  }
  LEAVE(OK);
}

static rv_t c_find_objects(ulong_t session, ulong_t *objects, ulong_t room, ulong_t *count) {
  ENTER("C_FindObjects", "session=%lu", session);
  EXPECT_SESSION(session);
  EXPECT(sessions[session].finds, OPERATION_NOT_INITIALIZED);
  for (*count = 0; *count < room && sessions[session].next < sessions[session].found_count; ++*count)
    objects[*count] = (ulong_t)sessions[session].found[sessions[session].next++];
  LEAVE(OK);
}

static rv_t c_find_objects_final(ulong_t session) {
  ENTER("C_FindObjectsFinal", "session=%lu", session);
  EXPECT_SESSION(session);
  EXPECT(sessions[session].finds, OPERATION_NOT_INITIALIZED);
  sessions[session].finds = 0;
  LEAVE(OK);
}

static rv_t value_of(int object, attribute_t *to) {
  key_t_ *key = &keys[(object - 1) / 4];
  ulong_t class = (ulong_t)class_of(object);
  int is_derived = object % 4 == 0, is_public = class == PUBLIC_KEY;
  byte_t point[sizeof key->point.bytes + 2];
  ulong_t room = to->length;
  const void *value = NULL;
  ulong_t length = 0;
  if (is_derived) {
    if (to->type == 0x11) value = key->z.bytes, length = key->z.length;
  } else if (to->type == 0x0) {
    value = &class, length = sizeof class;
  } else if (to->type == 0x3) {
    value = key->label, length = strlen(key->label);
  } else if (to->type == 0x102) {
    value = key->id.bytes, length = key->id.length;
  } else if (to->type == 0x11 && class == CERTIFICATE) {
    value = key->certificate.bytes, length = key->certificate.length;
  } else if (to->type == 0x100 && class != CERTIFICATE) {
    value = &key->kind, length = sizeof key->kind;
  } else if (to->type == 0x120 && is_public && key->kind == RSA) {
    value = key->modulus.bytes, length = key->modulus.length;
  } else if (to->type == 0x122 && is_public && key->kind == RSA) {
    value = key->exponent.bytes, length = key->exponent.length;
  } else if (to->type == 0x181 && is_public && key->kind == EC) {
    point[0] = 4;
    point[1] = (byte_t)key->point.length;
    memcpy(point + 2, key->point.bytes, key->point.length);
    value = point, length = key->point.length + 2;
  }
  if (value == NULL) {
    to->length = (ulong_t)-1;
    return ATTRIBUTE_TYPE_INVALID;
  }
  to->length = length;
  if (to->value == NULL) return OK;
  if (room < length) return BUFFER_TOO_SMALL;
  memcpy(to->value, value, length);
  return OK;
}

static rv_t c_get_attribute_value(ulong_t session, ulong_t object, attribute_t *wanted, ulong_t count) {
  ENTER("C_GetAttributeValue", "session=%lu object=%lu type=0x%lx", session, object, count > 0 ? wanted->type : 0);
  EXPECT_SESSION(session);
  EXPECT(exists((int)object, sessions[session].slot), OBJECT_HANDLE_INVALID);
  rv_t rv = OK;
  for (ulong_t i = 0; i < count; i++) {
    rv_t one = value_of((int)object, &wanted[i]);
    if (rv == OK) rv = one;
  }
  LEAVE(rv);
}

static rv_t c_destroy_object(ulong_t session, ulong_t object) {
  ENTER("C_DestroyObject", "session=%lu object=%lu", session, object);
  EXPECT_SESSION(session);
  EXPECT(object % 4 == 0, OBJECT_HANDLE_INVALID);
  LEAVE(OK);
}

static key_t_ *usable_key(ulong_t session, ulong_t object) {
  int slot = sessions[session].slot;
  return object % 4 == PRIVATE_KEY && exists((int)object, slot) ? &keys[(object - 1) / 4] : NULL;
}

static rv_t c_derive_key(ulong_t session, mechanism_t *mechanism, ulong_t base, attribute_t *wanted, ulong_t count,
                         ulong_t *made) {
  ENTER("C_DeriveKey", "session=%lu mechanism=0x%lx", session, mechanism->type);
  (void)wanted, (void)count;
  EXPECT_SESSION(session);
  EXPECT(may_use(sessions[session].slot), USER_NOT_LOGGED_IN);
  EXPECT(mechanism->type == ECDH1_DERIVE, MECHANISM_INVALID);
  key_t_ *key = usable_key(session, base);
  EXPECT(key != NULL, KEY_HANDLE_INVALID);
  EXPECT(key->kind == EC, KEY_TYPE_INCONSISTENT);
  ecdh_t *agreement = mechanism->parameter;
  EXPECT(mechanism->length == sizeof *agreement && agreement->kdf == 1, MECHANISM_PARAM_INVALID);
  EXPECT(agreement->public_length == key->point.length && agreement->public_data[0] == 4, MECHANISM_PARAM_INVALID);
  *made = base + 1;
  LEAVE(OK);
}

static rv_t begin(ulong_t session, mechanism_t *mechanism, ulong_t object) {
  if (sessions[session].operation != 0) return OPERATION_ACTIVE;
  if (!may_use(sessions[session].slot)) return USER_NOT_LOGGED_IN;
  key_t_ *key = usable_key(session, object);
  if (key == NULL) return KEY_HANDLE_INVALID;
  ulong_t type = mechanism->type;
  if (key->kind == RSA && type == RSA_OAEP) {
    if (key->oaep.length == 0) return MECHANISM_INVALID;
  } else if (key->kind == RSA && type == RSA_X_509) {
    if (key->raw.length == 0) return MECHANISM_INVALID;
  } else if (key->kind != AES || type != AES_GCM) {
    return MECHANISM_INVALID;
  }
  sessions[session].operation = (int)type;
  sessions[session].key = (int)(object - 1) / 4;
  return OK;
}

static rv_t c_decrypt_init(ulong_t session, mechanism_t *mechanism, ulong_t object) {
  ENTER("C_DecryptInit", "session=%lu mechanism=0x%lx", session, mechanism->type);
  EXPECT_SESSION(session);
  LEAVE(begin(session, mechanism, object));
}

static rv_t c_decrypt(ulong_t session, byte_t *from, ulong_t length, byte_t *to, ulong_t *room) {
  ENTER("C_Decrypt", "session=%lu length=%lu", session, length);
  EXPECT_SESSION(session);
  key_t_ *key = &keys[sessions[session].key];
  int type = sessions[session].operation;
  EXPECT(type != 0, OPERATION_NOT_INITIALIZED);
  if (to != NULL) sessions[session].operation = 0;
  if (type == RSA_OAEP) LEAVE(give(key->oaep.bytes, key->oaep.length, to, room));
  if (type == RSA_X_509) LEAVE(give(key->raw.bytes, key->raw.length, to, room));
  EXPECT(length >= TAG_BYTES && from[length - 1] == 0xaa, ENCRYPTED_DATA_INVALID);
  LEAVE(give(from, length - TAG_BYTES, to, room));
}

static rv_t c_encrypt_init(ulong_t session, mechanism_t *mechanism, ulong_t object) {
  ENTER("C_EncryptInit", "session=%lu mechanism=0x%lx", session, mechanism->type);
  EXPECT_SESSION(session);
  LEAVE(begin(session, mechanism, object));
}

static rv_t c_encrypt(ulong_t session, byte_t *from, ulong_t length, byte_t *to, ulong_t *room) {
  ENTER("C_Encrypt", "session=%lu length=%lu", session, length);
  EXPECT_SESSION(session);
  EXPECT(sessions[session].operation == AES_GCM, OPERATION_NOT_INITIALIZED);
  byte_t sealed[4096];
  EXPECT(length + TAG_BYTES <= sizeof sealed, ARGUMENTS_BAD);
  if (to != NULL) sessions[session].operation = 0;
  memcpy(sealed, from, length);
  memset(sealed + length, 0xaa, TAG_BYTES);
  LEAVE(give(sealed, length + TAG_BYTES, to, room));
}

static rv_t unsupported(void) { return FUNCTION_NOT_SUPPORTED; }

__attribute__((visibility("default"))) rv_t C_GetFunctionList(function_list_t **list) {
  static function_list_t functions;
  void **each = &functions.initialize;
  void **last = &functions.wait_for_slot_event;
  while (each <= last) *each++ = (void *)&unsupported;
  functions.version.major = 2;
  functions.version.minor = 40;
  functions.initialize = (void *)&c_initialize;
  functions.finalize = (void *)&c_finalize;
  functions.get_info = (void *)&c_get_info;
  functions.get_function_list = (void *)&C_GetFunctionList;
  functions.get_slot_list = (void *)&c_get_slot_list;
  functions.get_slot_info = (void *)&c_get_slot_info;
  functions.get_token_info = (void *)&c_get_token_info;
  functions.get_mechanism_list = (void *)&c_get_mechanism_list;
  functions.open_session = (void *)&c_open_session;
  functions.close_session = (void *)&c_close_session;
  functions.login = (void *)&c_login;
  functions.logout = (void *)&c_logout;
  functions.destroy_object = (void *)&c_destroy_object;
  functions.get_attribute_value = (void *)&c_get_attribute_value;
  functions.find_objects_init = (void *)&c_find_objects_init;
  functions.find_objects = (void *)&c_find_objects;
  functions.find_objects_final = (void *)&c_find_objects_final;
  functions.derive_key = (void *)&c_derive_key;
  functions.decrypt_init = (void *)&c_decrypt_init;
  functions.decrypt = (void *)&c_decrypt;
  functions.encrypt_init = (void *)&c_encrypt_init;
  functions.encrypt = (void *)&c_encrypt;
  *list = &functions;
  return OK;
}
